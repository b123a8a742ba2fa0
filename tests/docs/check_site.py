#!/usr/bin/env python3
"""Checks a built site of the documentation:

- every link and picture leads to a page or a file of the site, and every anchor to an element that there is;
- pages load nothing from elsewhere, and links to the outside are https addresses;
- with --browser: in headless Chromium, axe-core finds nothing that keeps people from reading any page, light on a desktop and dark
  on a phone; no page is wider than the phone; pages follow the colours of the system; and the search finds a page;
- with --levin PROGRAM: the same holds for the pages that the program makes: the reports of a fit whose loss became NaN and of one that
  failed, and the page of a study.

    check_site.py build/site [--browser] [--levin build/release/bin/levin]

Exit status: 0 if nothing was found, 77 if the browser's part can't be run here.
"""

import argparse
import contextlib
import functools
import importlib.util
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

# A desktop with light colours, and a phone with dark ones.
SCREENS = {"light": 1280, "dark": 400}
COLOURS = {"light": "default", "dark": "slate"}  # the theme's names
# What depends on the screen and the colours. On the second screen, pages of the site but the first one are checked for these alone.
RULES_OF_SCREENS = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
# Contrast takes most of the time of axe-core, so it is measured once for each colour, size, weight and background of a page's text.
AXE = """
const [rules, done] = arguments;
const backgrounds = new Map();
const background = (box) => {
  if (!box) return "";
  if (!backgrounds.has(box)) {
    const {backgroundColor, backgroundImage, opacity} = getComputedStyle(box);
    const own = [backgroundColor, backgroundImage, opacity].join();
    backgrounds.set(box, background(box.parentElement) + (own === "rgba(0, 0, 0, 0),none,1" ? "" : own + ";"));
  }
  return backgrounds.get(box);
};
const look = () => {
  const seen = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  document.querySelectorAll("[data-sample]").forEach((each) => delete each.dataset.sample);
  document.querySelectorAll("input, select, textarea").forEach((each) => each.dataset.sample = "");
  while (texts.nextNode()) {
    const box = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !box.checkVisibility()) continue;
    const {color, fontSize, fontWeight} = getComputedStyle(box);
    const kind = [color, fontSize, fontWeight, background(box)].join();
    if (!seen.has(kind)) box.dataset.sample = "";
    seen.add(kind);
  }
  axe.configure({rules: [{id: "color-contrast", selector: "[data-sample]"}]});
  axe.run(document, {resultTypes: ["violations"], preload: false, ...(rules && {runOnly: rules})})
    .then(({violations}) => done(violations), (error) => done(String(error)));
};
requestAnimationFrame(() => requestAnimationFrame(look));
"""
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


def set_screen(driver, scheme):
    """Gives the browser another screen and the system's colours."""
    width = SCREENS[scheme]
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme},
                                                                      {"name": "prefers-reduced-motion", "value": "reduce"}]})


def violations(driver, axe, rules=None):
    """What axe-core finds on the page that is shown, by all of its rules or by some."""
    driver.execute_script(f"if (!window.axe) {{ {axe} }}")
    driver.set_script_timeout(120)
    result = driver.execute_async_script(AXE, rules)
    if isinstance(result, str):
        return [result]
    found = []
    for each in result:
        place = " ".join(each["nodes"][0]["html"].replace(' data-sample=""', "").split())[:200]
        found.append(f"{each['impact']}: {each['id']}, {each['help']}: {place} ({len(each['nodes'])} places)")
    return found


def page_problems(driver, axe, name, address, in_site):
    """What is wrong with a page. It is loaded once, on one screen, and then shown on the other."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait
    problems = []
    for scheme, width in SCREENS.items():
        set_screen(driver, scheme)
        if scheme == "light":
            driver.get(address)
            driver.execute_script("document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>')")
        try:
            if in_site:
                WebDriverWait(driver, 60).until(
                    lambda shown: shown.execute_script("return document.body.dataset.mdColorScheme") == COLOURS[scheme])
        except TimeoutException:
            problems.append(f"{name} isn't {scheme}")
        rules = RULES_OF_SCREENS if in_site and name != "index.html" and scheme == "dark" else None
        problems += [f"{name}, {width} wide, {scheme}: {each}" for each in violations(driver, axe, rules)]
        shown = driver.execute_script("return document.documentElement.scrollWidth")
        if shown > width:
            problems.append(f"{name} is {shown} wide on a screen of {width}")
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
    home = address[:len(address) - len(name)]
    return problems + [f"{name} loads {each}" for each in loaded if not each.startswith((home, "data:", "blob:"))]


def seen_problems(drivers, axe, pages):
    """What is wrong with any of the pages, each a name, its address and whether it is one of the site. The browsers share them."""
    free = queue.SimpleQueue()
    for driver in drivers:
        free.put(driver)

    def look_at(page):
        driver = free.get()
        try:
            return page_problems(driver, axe, *page)
        finally:
            free.put(driver)

    with ThreadPoolExecutor(len(drivers)) as threads:
        return [each for found in threads.map(look_at, pages) for each in found]


def pages_of_site(folder, server):
    """The pages of a site, the largest ones first, so that the browsers end at about the same time."""
    folder = Path(folder).resolve()
    names = [page.relative_to(folder).as_posix()
             for page in sorted(folder.rglob("*.html"), key=lambda page: -page.stat().st_size)]
    # The links of 404.html begin at the root of a server.
    return [(name, (server if name == "404.html" else folder.as_uri() + "/") + name, True) for name in names]


def pages_of_program(levin, folder):
    """Lets the program make pages in a folder."""
    def run(*words):
        return subprocess.run([os.path.abspath(levin), *words], cwd=folder, capture_output=True, text=True, check=False)

    (Path(folder) / "space.yaml").write_text("model.learning_rate: {low: 0.001, high: 0.1, log: true}\ndata.batch_size: [16, 32]\n")
    fit = ["--model=LogisticRegression", "--data=IrisDataModule", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]
    runs = [run("fit", *fit, "--model.optimizer=SGD", "--model.learning_rate=1e38", "--trainer.profiler=simple"),
            run("fit", *fit, "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_los"),
            run("tune", *fit, "--search=space.yaml", "--metric=val_loss", "--trials=4", "--study=study.log"),
            run("tune", "show", "study.log", "--html=study.html")]
    names = ["levin_logs/version_0/report.html", "levin_logs/version_1/report.html", "study.html"]
    missing = [name for name in names if not (Path(folder) / name).exists()]
    if missing:
        raise FileNotFoundError(f"{levin} hasn't made {', '.join(missing)}:\n" + "".join(each.stderr for each in runs))
    return [(name, Path(folder).resolve().as_uri() + "/" + name, False) for name in names]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves the files of a folder without a word."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder):
    """The address of a server of the site on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def search_problems(driver, address):
    """Types a word into the search of a page, as a reader does."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
    set_screen(driver, "light")
    driver.get(address)
    try:
        wait = WebDriverWait(driver, 60)
        field = driver.find_element(By.CSS_SELECTOR, ".md-search__input")
        wait.until(lambda _: field.is_displayed())
        field.send_keys("EarlyStopping")
        wait.until(lambda shown: shown.find_elements(By.CSS_SELECTOR, ".md-search-result__link"))
    except WebDriverException as error:
        return [f"the search of {address} finds nothing: {type(error).__name__}"]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site")
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--levin", metavar="PROGRAM")
    options = parser.parse_args()
    problems, count = dead_links(options.site)
    missing = None
    if options.browser:
        axe, driver = axe_script(), browser()
        if axe and driver:
            drivers = [driver]
            try:
                drivers += [browser() for _ in range(min(os.cpu_count() or 1, 4) - 1)]
                with served(options.site) as server, tempfile.TemporaryDirectory(prefix="levin-pages-") as made:
                    pages = pages_of_program(options.levin, made) if options.levin else []
                    problems += seen_problems(drivers, axe, pages_of_site(options.site, server) + pages)
                    for home in (Path(options.site).resolve().as_uri() + "/", server):
                        problems += search_problems(driver, home + "index.html")
            finally:
                for each in drivers:
                    each.quit()
        else:
            missing = "Chromium with chromedriver and selenium" if not driver else "axe-playwright-python"
    print("\n".join(problems + [f"{count} links, {len(problems)} problems" + (f"; {missing} isn't installed" if missing else "")]))
    return 1 if problems else 77 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
