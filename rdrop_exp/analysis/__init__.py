"""Why dropout works, and which way to go: gradient metrics, train-test inconsistency, and the regime probe.

gradients      pure functions: the metrics of "Dropout Reduces Underfitting" from gradients that come one at a time
sample         which items are measured: mini-batches drawn independently, and the whole training set
measure        those metrics for a trial's network at any step; `Meter` is what the training loop calls
inconsistency  how far noisy passes are from one another and from the clean one; calibration with and without noise
trials         a trial's network, data and weights again, from its folder
curves         the metrics over steps: areas under them, and sentences on what noise did before its cutoff
page, table    what `rdrop-analyze` shows (cli)
probe          `rdrop-probe`: over- or under-fitting? (budget: what it runs; verdict: the rule; advice: what to do next)
"""
