"""The form of a run, generated from the registries and the configuration, for every page that starts runs."""
