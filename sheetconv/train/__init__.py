"""The training engine: Learner, callbacks, metrics, recipes.

    data = {split: open_dataset("mnist", split) for split in ("train", "test")}
    dls = DataLoaders.from_dd(data, batch_size=256, device="cpu", seed=0)          # sheetconv.train.loaders
    cbs = [Device(), StopAtNaN(), Metrics(Accuracy()), OneCycle(), Recorder()]     # sheetconv.train.callbacks
    learn = Learner(simple_cnn(), dls, F.cross_entropy, lr=2e-2, cbs=cbs, opt_func=torch.optim.AdamW)
    learn.fit(5)
    learn.history   # [{"epoch": 1, "train_loss": …, "lr": …, "valid_loss": …, "valid_accuracy": …}, …]

Further modules: `callback` (Callback, the hooks, Cancel…Exception, with_cbs), `metrics` (Metric, Accuracy),
`loaders` (DataLoaders, ResidentLoader), `devices` (choose_device, to_device, to_cpu), `switches` (choose_switches:
threads, bf16, convolutions), `winograd` (conv3x3), `optimisers` (optimiser by name, Muon), `augment` (transforms
for `BatchTransform`, views for `TestTimeAveraging`), `hooks` (Hooks, lsuv_init), `summary`, `state` (files without
pickle), `momentum` (MomentumLearner). Callbacks: Accelerate, Device, Check, SingleBatch, Train, BatchTransform,
StopAtNaN, Metrics, Timer, MixedPrecision, Winograd, GradientClip, ActivationStats, Recorder, TestTimeAveraging,
Schedule, OneCycle, Scheduler, WeightAveraging, CapturePreds (capture_preds), Progress, LRFinder (lr_find),
Checkpoint(folder, monitor, resume, run), EarlyStopping. A callback of one's own writes into `learn.row`, the
figures of the epoch at hand, and looks at `learn.closing` for the epoch's end.
"""
