"""Who makes the models: base URL, endpoint paths, credential header, and what a status proves."""
