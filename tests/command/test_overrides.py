

def test_no_experiment_outweighs_the_number_that_is_asked_for():
    """Hydra lets an experiment's own keys win over a chosen option: theirs are options, too."""
    for file in sorted((CONF / "experiment").glob("*.yaml")):
        assert not {"seed", "k"} & yaml.safe_load(file.read_text()).keys(), file.name
