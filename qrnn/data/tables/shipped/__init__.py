"""Series that the package ships."""
