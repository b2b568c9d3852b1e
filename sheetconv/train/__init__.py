"""The training engine: Learner, callbacks, metrics, recipes.

    data = {split: open_dataset("mnist", split) for split in ("train", "test")}
    dls = DataLoaders.from_dd(data, batch_size=256, device="cpu", seed=0)          # sheetconv.train.loaders
    cbs = [Device(), StopAtNaN(), Metrics(Accuracy()), OneCycle(), Recorder()]     # sheetconv.train.callbacks
    learn = Learner(simple_cnn(), dls, F.cross_entropy, lr=2e-2, cbs=cbs, opt_func=torch.optim.AdamW)
    learn.fit(5)
    learn.history   # [{"epoch": 1, "train_loss": …, "lr": …, "valid_loss": …, "valid_accuracy": …}, …]

Further modules: `callback` (Callback, the hooks, Cancel…Exception, with_cbs), `metrics` (Metric, Accuracy),
`loaders` (DataLoaders, ResidentLoader), `devices` (choose_device, to_device, to_cpu), `optimisers` (optimiser
by name, Muon), `augment` (transforms for `BatchTransform`, views for `TestTimeAveraging`), `state` (files
without pickle). Callbacks: Train, Device, BatchTransform, SingleBatch, StopAtNaN, Metrics, Timer, MixedPrecision,
GradientClip, Schedule, OneCycle, Scheduler, Recorder, WeightAveraging, TestTimeAveraging, Progress, EarlyStopping,
Checkpoint(folder, monitor, resume, run). A callback of one's own writes into `learn.row`, the figures of the epoch
at hand, and looks at `learn.closing` for the epoch's end.
"""
