"""What trials and regularizers are called."""

from rdrop_exp.config.options import Options
from rdrop_exp.config.regularizer import RATES, Regularizer

LONGEST_NAME = 200
"""Bytes of a trial's name: with its identity it must fit a folder's name, of 255 bytes."""

CUTOFF = {"early": "until", "late": "from", "v_shaped": "at"}
"""What the cutoff is to a schedule; schedules of one's own may use it in any way."""
SHORT = {"drop_path": "sd", "patch_dropout": "pd", "drop_key": "dk", "head_dropout": "hd", "drop_block": "db"}
"""Rates in a trial's name."""


def trial_name(o: Options) -> str:
    """The trial in a few words, such as `digits-vit_micro-early_dropout-p0.1-until5-s0`."""
    r = o.regularizer
    models = [part.label or part.name for part in (o.model, o.peer) if part.name]
    words = [o.dataset.label or o.dataset.name, "+".join(models), r.name]
    if r.dropout or r.second_dropout:
        words.append(f"p{r.dropout:g}" + (f"_{r.second_dropout:g}" if r.second_dropout is not None else ""))
    words += [f"{short}{getattr(r, rate):g}" for rate, short in SHORT.items() if getattr(r, rate)]
    if r.cutoff_epoch is not None:
        words.append(f"{CUTOFF.get(r.when, 'cutoff')}{r.cutoff_epoch:g}")
    if r.alpha or r.multi_sample:
        words.append((f"a{r.alpha:g}" if r.alpha else "") + (f"x{r.passes}" if r.passes != 2 or not r.alpha else ""))
    name = "-".join([*words, f"s{o.seed}"]).replace("/", "_").replace(":", "_")
    return name.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")


def descriptive_name(r: Regularizer) -> str:
    """A regularizer called after what it does: none, dropout, early_stochastic_depth, rdrop, rdrop_late, mutual, …"""
    rates = {rate: getattr(r, rate) for rate in RATES} | {"dropout": r.dropout or r.second_dropout}
    kinds = [kind for rate, kind in RATES.items() if rates[rate]]
    when = [] if r.when in ("always", "never") else [r.when]
    if r.dropout_profile != "constant":
        when.append(r.dropout_profile)
    if kinds and (r.alpha or r.multi_sample):
        tied = ["rdrop", "teacher"] if r.tie == "teacher" else ["rdrop"]
        return "_".join([*(tied if r.alpha else ["multi_sample"]), *when, *kinds[kinds[0] == "dropout" :]])
    return "_".join(when + kinds) or ("mutual" if r.alpha else "none")
