"""What trains a run: writes only into the folder of its run. `main` is the process, `attempt` what it writes down."""
