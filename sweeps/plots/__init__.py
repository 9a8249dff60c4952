"""Pictures of a sweep: the front as PNG and plotly, margins, saliency panels."""
