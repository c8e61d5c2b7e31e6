"""python -m rdrop_exp: the same as the command rdrop-exp."""

from rdrop_exp.cli import main

if __name__ == "__main__":
    main()
