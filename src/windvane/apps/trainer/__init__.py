"""Jobs: train, evaluate, register; never touches the live routing."""
