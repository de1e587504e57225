"""What the pages show in the browser beyond Streamlit's own widgets: one folder for each component."""
