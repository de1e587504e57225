"""The form of a run, made from the registries and the configuration: used by every page that starts runs."""
