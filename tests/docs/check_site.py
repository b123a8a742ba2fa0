#!/usr/bin/env python3
"""Checks a built site of the documentation:

- every link and picture leads to a page or a file of the site, and every anchor to an element that there is;
- pages load nothing from elsewhere, and links to the outside are https addresses;
- with --browser: in headless Chromium, axe-core finds nothing that keeps people from reading the pages, light and dark, on a
  desktop and on a phone; no page is wider than the phone; and the search finds a page.

    check_site.py build/site [--browser]

Exit status: 0 if nothing was found, 77 if the browser's part can't be run here.
"""

import argparse
import importlib.util
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# A page of each kind.
KINDS = ["index.html", "tutorial.html", "lightning.html", "reference/models.html", "reference/commands.html",
         "headers/framework-run.html", "serving.html"]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class PageParser(HTMLParser):
    """Collects the links, the loaded files and the anchors of a page."""

    def __init__(self):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.update(filter(None, (attributes.get("id"), attributes.get("name") if tag == "a" else None)))
        if tag == "a" and attributes.get("href") is not None:
            self.links.append(attributes["href"])
        elif tag in LOADED and attributes.get(LOADED[tag]) and attributes.get("rel") != "canonical":
            self.loaded.append(attributes[LOADED[tag]])


def parse(text):
    parser = PageParser()
    parser.feed(text)
    return parser


def dead_links(folder):
    """What is wrong with the links of a site, and how many links there are."""
    folder = Path(folder).resolve()
    pages = {path: parse(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    problems, count = [], 0
    for path, page in pages.items():
        name = path.relative_to(folder)
        if name.name == "404.html":
            continue  # its links begin at the root of a server
        for link, is_loaded in [(link, False) for link in page.links] + [(link, True) for link in page.loaded]:
            count += 1
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                is_local = parts.hostname in ("127.0.0.1", "localhost") or parts.scheme in ("mailto", "data")
                if is_loaded and parts.scheme != "data":
                    problems.append(f"{name} loads {link}")
                elif not is_local and (parts.scheme != "https" or "." not in (parts.hostname or "")):
                    problems.append(f"{name}: {link} is no https address")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(folder) or not target.exists():
                problems.append(f"{name}: {link} leads to nothing")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors | {"__skip"}:
                problems.append(f"{name}: {link} has an anchor that isn't there")
    if not pages:
        problems.append(f"{folder} has no page")
    return problems, count


def browser():
    """A headless browser; None if there is none."""
    try:
        from selenium import webdriver
    except ImportError:
        return None
    driver = shutil.which("chromedriver")
    if not driver or not (shutil.which("chromium") or shutil.which("google-chrome")):
        return None
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def axe_script():
    """The text of axe-core, which the package axe-playwright-python has; None if it isn't installed."""
    found = importlib.util.find_spec("axe_playwright_python")
    return (Path(found.origin).parent / "axe.min.js").read_text() if found else None


def show(driver, page, width, scheme):
    """Opens a page as on a screen of this width, light or dark."""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme},
                                                                      {"name": "prefers-reduced-motion", "value": "reduce"}]})
    driver.get(page.resolve().as_uri())
    driver.execute_script("localStorage.clear()")
    driver.refresh()


def violations(driver, axe):
    """What axe-core finds on the page that is shown."""
    driver.execute_script(axe)
    driver.set_script_timeout(120)
    result = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations), error => done(String(error)));")
    if isinstance(result, str):
        return [result]
    return [f"{each['impact']}: {each['id']}, {each['help']}: {' '.join(each['nodes'][0]['html'].split())[:200]} ({len(each['nodes'])} places)"
            for each in result]


def seen_problems(driver, axe, folder):
    problems = []
    for kind in KINDS:
        page = Path(folder) / kind
        if not page.exists():
            problems.append(f"there is no {kind}")
            continue
        for width, scheme in ((1280, "light"), (400, "dark")):
            show(driver, page, width, scheme)
            problems += [f"{kind}, {width} wide, {scheme}: {each}" for each in violations(driver, axe)]
            loaded = driver.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
            problems += [f"{kind} loads {each}" for each in loaded if not each.startswith(("file:", "data:", "blob:"))]
            shown = driver.execute_script("return document.documentElement.scrollWidth")
            if shown > width:
                problems.append(f"{kind} is {shown} wide on a screen of {width}")
            if driver.execute_script("return document.body.dataset.mdColorScheme") != {"light": "default"}.get(scheme, "slate"):
                problems.append(f"{kind} isn't {scheme}")
    return problems


def search_problems(driver, folder):
    """Types a word into the search, as a reader does."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
    show(driver, Path(folder) / "index.html", 1280, "light")
    try:
        wait = WebDriverWait(driver, 60)
        field = driver.find_element(By.CSS_SELECTOR, ".md-search__input")
        wait.until(lambda _: field.is_displayed())
        field.send_keys("EarlyStopping")
        wait.until(lambda shown: shown.find_elements(By.CSS_SELECTOR, ".md-search-result__link"))
    except WebDriverException as error:
        return [f"the search finds nothing: {type(error).__name__}"]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site")
    parser.add_argument("--browser", action="store_true")
    options = parser.parse_args()
    problems, count = dead_links(options.site)
    missing = None
    if options.browser:
        axe, driver = axe_script(), browser()
        if axe and driver:
            try:
                problems += seen_problems(driver, axe, options.site) + search_problems(driver, options.site)
            finally:
                driver.quit()
        else:
            missing = "Chromium with chromedriver and selenium" if not driver else "axe-playwright-python"
    print("\n".join(problems + [f"{count} links, {len(problems)} problems" + (f"; {missing} isn't installed" if missing else "")]))
    return 1 if problems else 77 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
