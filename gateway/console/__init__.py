"""The console: server-rendered pages over the admin API's parts; what a page does, the admin API does."""
