#!/usr/bin/env bash
# Everything that needs a GPU, in one call of at most ten minutes: tests, real trials, benchmarks, and a table last.
#
#   benchmarks/gpu.sh                                            # on a machine with a GPU and a python with torch, timm
#   ONLY='sweep|dropout.py' benchmarks/gpu.sh                    # parts whose name matches
#   DEVICE=cpu TINY=1 PYTHON=.venv/bin/python benchmarks/gpu.sh  # does every line run?
#
# What python lacks comes from WHEELS (by default wheels/, where there is one), or else from the network. To fill it,
# for a machine with Python 3.12, in the repository's root:
#
#   python -m pip wheel --no-deps --wheel-dir wheels antlr4-python3-runtime==4.9.3
#   python -m pip download --dest wheels --find-links wheels --constraint <(grep -vE '^(numpy|torch)' constraints.txt) \
#       --python-version 3.12 --only-binary=:all: --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
#       --platform manylinux2014_x86_64 hydra-core omegaconf wandb plotly hydra-joblib-launcher rich
#
# Output goes to OUT (outputs/gpu), one file a part. A part that fails is FAILED in the table, the rest go on, and the
# exit code is 1. SECONDS_IN_ALL (570) is divided as it is used up: what then remains has no time, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3} DEVICE=${DEVICE:-cuda} TINY=${TINY:-} OUT=${OUT:-outputs/gpu} WHEELS=${WHEELS:-wheels}
MODES=${MODES:-default reduce-overhead} # values of the option `compile_mode` to try
END=${SECONDS_IN_ALL:-570}
PACKAGES=(hydra-core omegaconf wandb plotly rich cloudpickle scikit-learn scipy pytest pytest-timeout hypothesis
    hydra-joblib-launcher)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
rm -f "$OUT"/*.txt
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 WANDB_MODE=offline WANDB_SILENT=true
TRIALS=$WORK/trials
small=(device="$DEVICE" output_dir="$TRIALS" logger=local threads=1)

# -- parts ------------------------------------------------------------------------------------------------------------

rows=() failed=0
part() { # NAME FILE COMMAND...: runs it, keeps what it says in FILE, and notes how it ended
    [[ $1 =~ ^install$|${ONLY:-} ]] || return 0
    local name=$1 log=$OUT/$2.txt before=$SECONDS state=ok lines
    shift 2
    printf '\n== %s\n' "$name" | tee -a "$log"
    lines=$(wc -l <"$log")
    "$@" >>"$log" 2>&1 || state=FAILED
    [ $state = ok ] || failed=1
    tail -n "+$((lines + 1))" "$log" | grep -v "^$" | tail -n 16 | cut -c1-200 || true
    rows+=("$(printf '%-34s %-7s %4d s   %s' "$name" $state $((SECONDS - before)) "${log##*/}")")
}
limited() { # COMMAND...: as long as there is time
    local left=$((END - SECONDS))
    [ $left -gt 5 ] || { echo "no time was left"; return 1; }
    timeout -k 10 $left "$@"
}
py() { limited "$WORK/venv/bin/python" "$@"; }
trial() { # OPTIONS...: one trial, small and local
    py -m rdrop_exp "${small[@]}" "schedule.steps=$STEPS" "$@"
}
finished() { # FOLDER NUMBER: are so many trials in it finished?
    local found
    found=$(cat "$1"/*/result.json | grep -c '"status": "finished"') || true
    echo "$found of $2 trials finished"
    [ "$found" = "$2" ]
}

install() { # an environment beside PYTHON's: what PYTHON has can be imported, what it lacks is installed
    "$PYTHON" -m venv --system-site-packages --without-pip "$WORK/venv" || return
    local source=()
    # A python that is itself in a venv does not pass its packages on by --system-site-packages.
    "$PYTHON" -c 'import sysconfig; print(*{sysconfig.get_path(p) for p in ("purelib", "platlib")}, sep="\n")' \
        >"$("$WORK/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/theirs.pth" || return
    [ ! -d "$WHEELS" ] || source=(--no-index --find-links "$WHEELS")
    limited "$PYTHON" -m pip --python "$WORK/venv/bin/python" install --quiet --disable-pip-version-check \
        ${source[@]+"${source[@]}"} "${PACKAGES[@]}" || return
    machine
}
machine() {
    py - "$DEVICE" <<'EOF'
import platform, sys, timm, torch, hydra
cuda = sys.argv[1].startswith("cuda")
where = torch.cuda.get_device_name(sys.argv[1]) if cuda else f"{sys.argv[1]}, {torch.get_num_threads()} threads"
libraries = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, " if cuda else ""
print(
    f"{where}; Python {platform.python_version()}, torch {torch.__version__}, {libraries}timm {timm.__version__},"
    f" Hydra {hydra.__version__}"
)
EOF
}

resumed() { # a trial that is stopped and goes on ends as one that was not stopped: to the last bit where runs repeat
    local words=(model=vit_micro_8 regularizer=rdrop schedule.steps=$LONG seed=7) pid i
    for i in through again; do trial "${words[@]}" name=$i || return; done
    timeout -k 10 300 "$WORK/venv/bin/python" -m rdrop_exp "${small[@]}" "${words[@]}" name=stopped &
    pid=$!
    until grep -qs . "$TRIALS"/stopped/*/metrics.jsonl; do
        kill -0 $pid 2>/dev/null || { echo "it ended before it could be stopped"; return 1; }
        sleep 0.05
    done
    kill -TERM $pid
    if wait $pid; then echo "it was to be stopped, and ended"; return 1; fi
    trial "${words[@]}" name=stopped && finished "$TRIALS/stopped" 1 || return
    grep -h "going on from step" "$TRIALS"/stopped/*/log.txt || return
    py - "$TRIALS" <<'EOF'
import json, pathlib, sys
through, again, stopped = (
    json.loads(next(pathlib.Path(sys.argv[1], name).glob("*/result.json")).read_text())["metrics"]
    for name in ("through", "again", "stopped")
)
for name, found in {"repeated": again, "stopped": stopped}.items():
    other = [f"{k} {found[k]} for {through[k]}" for k in through if found[k] != through[k]]
    print(f"{name}: {', '.join(other) or 'the same to the last bit'}")
sys.exit(again == through != stopped)
EOF
}
sweep() { # NAME NUMBER OPTIONS...: a sweep on several slots of the GPU, and again: nothing is left to run
    local name=$1 number=$2 words plan
    shift 2
    words=(-m rdrop_exp -m "${small[@]}" name="$name" "schedule.steps=$STEPS" "$@")
    py "${words[@]}" && finished "$TRIALS/$name" "$number" || return
    plan=$(py "${words[@]}" hydra.launcher.dry_run=true) || return
    echo "$plan"
    [[ $plan == *" 0 to run"* ]]
}
compiled() { # one worker compiles networks that differ by their noise alone: each must train with its own
    sweep compiled 2 model=resnet_micro_8 compile=true regularizer=none,dropout regularizer.dropout=0.5 \
        "${slots[@]}" hydra.launcher.slots=1 hydra.launcher.retries=0 || return
    local losses
    losses=$(grep -h '"train/loss"' "$TRIALS"/compiled/*/result.json)
    echo "$losses"
    [ "$(sort -u <<<"$losses" | wc -l)" = 2 ] || { echo "with dropout and without, the losses are the same"; return 1; }
}
streamed() { # photographs from files, by worker processes and pinned memory
    py - "$WORK/images" <<'EOF' || return
import pathlib, sys
import numpy as np
from PIL import Image
for i in range(120):
    folder = pathlib.Path(sys.argv[1], f"class{i % 3}")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(folder / f"{i}.png")
EOF
    trial name=streamed model=resnet_micro_32 dataset=image_folder dataset.root="$WORK/images" dataset.image_size=32 \
        dataset.workers=2 optimizer.batch_size=16 dataset.mixup=0.2
}
bench() { # NAME WORDS...: a benchmark on this device
    local name=$1
    shift
    py "benchmarks/$name.py" --device "$DEVICE" "$@"
}

# -- all of them: checks first, then what is timed, the longest last --------------------------------------------------

if [ "$TINY" ]; then
    STEPS=12 LONG=60 tests=(tests/noise/test_shared_prefix.py) slots=(hydra.launcher.slots=2) END=${SECONDS_IN_ALL:-3000}
    steps=(--rounds 1 --batch 8) pairs=(--pairs 1) drops=(--rounds 2 --shape 8 50 64) ours=(--tiny) stock=(--tiny)
    depths=(--rounds 1 --warm 1 --batch 4) words=(--rounds 1 --tokens 16)
else
    STEPS=100 LONG=1000 slots=(hydra.launcher.per_gpu=3)
    tests=(tests/noise tests/train)
    steps=() pairs=() drops=() ours=() stock=(--rounds 3) depths=(--batch 128) words=(--tokens 4096)
fi
[ "$DEVICE" != cpu ] || slots=(hydra.launcher.gpus=0 hydra.launcher.slots=2)

part "install" install install
part "tests on the device" tests env TEST_DEVICE="$DEVICE" "$WORK/venv/bin/python" -m pytest -m gpu tests/test_gpu.py
part "tests of noise, losses, training" tests py -m pytest "${tests[@]}"
part "a trial" trials trial name=one regularizer=rdrop model=vit_micro_8
part "a trial stopped and resumed" trials resumed
part "bf16" trials trial name=bf16 precision=bf16 regularizer=rdrop model=vit_micro_8
[ "$DEVICE" = cpu ] || part "fp16" trials trial name=fp16 precision=fp16 regularizer=rdrop model=vit_micro_8
part "mutual, micro-batches, EMA, clipping" trials trial name=mutual regularizer=mutual peer=resnet_micro_8 \
    optimizer.accumulate=2 optimizer.ema=0.9 optimizer.clip=1
part "analysis while training" trials trial name=analysis regularizer=dropout analysis.every=10 analysis.batches=4
part "streamed images" trials streamed
part "sweep, several slots" trials sweep sweep 6 model=vit_micro_8 regularizer=none,dropout,rdrop seed=0,1 \
    "${slots[@]}"
for mode in $MODES; do
    compile=(compile=true compile_mode="$mode" model=vit_micro_8)
    part "compiled, $mode" trials trial name="compile_$mode" "${compile[@]}" regularizer=decreasing_dropout
    part "compiled, $mode, micro-batches" trials trial name="micro_$mode" "${compile[@]}" regularizer=rdrop \
        optimizer.accumulate=2
done
part "sweep, compiled" trials compiled
part "step.py" step bench step ${steps[@]+"${steps[@]}"}
part "dropout.py" dropout bench dropout ${drops[@]+"${drops[@]}"}
part "depth.py" depth bench depth ${depths[@]+"${depths[@]}"}
part "vocabulary.py" vocabulary bench vocabulary ${words[@]+"${words[@]}"}
part "loop.py" loop bench loop ${pairs[@]+"${pairs[@]}"}
part "compile.py, ours" compile bench compile --only ours ${ours[@]+"${ours[@]}"}
part "compile.py, timm's own" compile bench compile --only stock "${stock[@]}"

{
    printf '\n%s\n' "$(grep Python "$OUT/install.txt" | tail -n 1)"
    printf '%s\n' "${rows[@]}"
    echo "$SECONDS s in all"
} | tee "$OUT/summary.txt"
exit $failed
