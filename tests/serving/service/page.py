"""Tries the page of a service in a headless Chromium. Needs selenium, chromium and chromedriver.

usage: page.py PORT TOKEN [SCREENSHOTS]; exit status 77: a part is missing.
"""

import os
import shutil
import sys

try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait
except ImportError:
    print("selenium isn't installed")
    sys.exit(77)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    print("chromium or chromedriver isn't installed")
    sys.exit(77)

PORT, TOKEN = sys.argv[1], sys.argv[2]
SCREENSHOTS = sys.argv[3] if len(sys.argv) > 3 else None


def start():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--window-size=1200,900"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


browser = start()


def element(name):
    return browser.find_element(By.ID, name)


def wait(condition, what):
    WebDriverWait(browser, 60).until(lambda _: condition(), message=what)


def answer():
    found = browser.find_elements(By.CSS_SELECTOR, "#answer .result")
    return found[0].text if found else ""


def wait_answer(text):
    wait(lambda: answer() == text, f"the answer {text!r}, but it is: {element('answer').text!r}, "
         f"{element('message').text!r}")


def picture(name):
    """Takes pictures at the widths of a desktop and a phone, in light and dark."""
    if SCREENSHOTS is None:
        return
    for theme in ("light", "dark"):
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": theme}]})
        for width, height in ((1200, 900), (390, 844)):
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
            browser.save_screenshot(os.path.join(SCREENSHOTS, f"{name}-{theme}-{width}.png"))
            overflow = browser.execute_script(
                "return document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0, f"{name} is {overflow} pixels wider than a window of {width}"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def choose(text):
    Select(element("models")).select_by_visible_text(text)


def stroke(points):
    """Draws a line through points given in parts of the canvas, from its middle."""
    canvas = element("canvas")
    size = canvas.size["width"]
    actions = ActionChains(browser, duration=10)
    x, y = points[0]
    actions.move_to_element_with_offset(canvas, int(x * size), int(y * size)).click_and_hold()
    for x, y in points[1:]:
        actions.move_to_element_with_offset(canvas, int(x * size), int(y * size))
    actions.release().perform()


def main():
    browser.get(f"http://127.0.0.1:{PORT}/")
    if TOKEN:
        wait(lambda: element("token").is_displayed(), "the field for the token")
        picture("token")
        element("token").send_keys("wrong" + Keys.ENTER)
        wait(lambda: "accept" in element("message").text, "that a wrong token is refused")
        element("token").clear()
        element("token").send_keys(TOKEN + Keys.ENTER)
    wait(lambda: element("work").is_displayed(), "the models")

    # A drawn "1" is narrow and high, a "0" is wide: the model of the test tells them apart.
    choose("digits, version 1")
    stroke([(0.05, -0.35), (0.0, 0.0), (-0.02, 0.35)])
    wait_answer("one")
    picture("one")
    meters = browser.find_elements(By.CSS_SELECTOR, "#answer meter")
    assert len(meters) == 10, len(meters)
    assert browser.find_element(By.CSS_SELECTOR, "#answer li.best").text.startswith("one")
    element("clear").click()
    assert answer() == ""
    stroke([(0.0, -0.3), (-0.2, -0.2), (-0.25, 0.0), (-0.2, 0.2), (0.0, 0.3), (0.2, 0.2),
            (0.25, 0.0), (0.2, -0.2), (0.0, -0.3)])
    wait_answer("zero")
    picture("zero")

    # With the keyboard alone: the pen goes down, moves, and Enter asks.
    canvas = element("canvas")
    canvas.send_keys(Keys.ESCAPE)
    assert answer() == ""
    canvas.send_keys(" " + Keys.ARROW_DOWN * 10 + Keys.ENTER)
    wait_answer("one")

    choose("flowers, version 2")
    cells = browser.find_elements(By.CSS_SELECTOR, "#cells input")
    assert len(cells) == 4, len(cells)
    for cell, text in zip(cells, ("007", "-3.5", "", "1e3")):
        cell.send_keys(text)
    entered = browser.execute_script("return enteredRow()")
    assert entered == ["007", -3.5, None, "1e3"], entered
    element("clear").click()
    for cell, text in zip(cells, ("5.1", "3.5", "1.4", "0.2")):
        cell.send_keys(text)
    cells[-1].send_keys(Keys.ENTER)
    wait_answer("yes")
    picture("table")

    choose("numbers, version 1")
    element("line").send_keys("1, 2, 3")
    element("predict").click()
    wait(lambda: "the model takes 4" in element("message").text, "that a number is missing")
    element("line").send_keys(", -40")
    element("predict").click()
    wait_answer("no")
    picture("numbers")

    problems = [entry["message"] for entry in browser.get_log("browser")
                if entry["level"] == "SEVERE" and " 401 " not in entry["message"]]
    assert not problems, problems
    print("the page works")


try:
    main()
finally:
    browser.quit()
