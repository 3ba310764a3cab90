"""The overrides of a run that takes no time: digits, which need no files, and one step."""

TINY = [
    "dataset=digits",
    "trainer.device=cpu",
    "trainer.epochs=1",
    "trainer.batch_size=16",
    "trainer.train_examples=16",
    "trainer.test_examples=16",
    "model.hidden=[3]",
]
