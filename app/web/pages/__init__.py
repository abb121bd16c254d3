"""The dashboard: pages that work without JavaScript, made from the templates beside this package."""
