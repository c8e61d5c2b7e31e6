"""Why dropout works: gradient metrics, train-test inconsistency, calibration.

gradients       pure functions: the metrics of "Dropout Reduces Underfitting" from a stream of gradients
minibatches     which items are measured: independent mini-batches, and the whole training set
gradient_meter  those metrics for a trial's network at any step
inconsistency   how far noisy passes are from each other and from the clean one; calibration with and without noise
online          what the training loop calls with `analysis.every=N`
offline         one trial measured from its folder; rebuild: its network, data and weights
curves          the metrics over steps; area_change: what noise did to the areas under them
table, page     what `rdrop-analyze` shows (cli)
"""
