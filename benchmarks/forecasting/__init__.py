"""The forecasting page: its runs and the page, docs/forecasting.md."""
