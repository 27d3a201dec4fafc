"""The operators' console: one page in plain modules, which speaks to the admin API and to nothing else.

pages.py     the page and its files, with headers that let it load nothing from elsewhere

What runs in the browser lies in assets/: console.html and console.css, main.js (which page is shown), session.js and
api.js (token and API), dom.js and format.js (elements, figures), charts.js, strip.js; one module a page.
"""

from gateway.console.pages import routes

__all__ = ["routes"]
