"""A real browser without a screen: Debian's Chromium, driven by Selenium."""

from pathlib import Path

from rig.waiting import until
from selenium.common.exceptions import NoAlertPresentException, StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

CHROMIUM = "/usr/bin/chromium"
DRIVER = "/usr/bin/chromedriver"
#: Flower's sign for a value that it has not got. Of a queue on Redis it has only the length, whoever works on it.
MISSING = ":not(.broker-table) > tbody > tr > td > .value-missing, dd > .value-missing"
#: A button whose command the worker has refused, in the browser's log.
REFUSED = "403 (Forbidden)"


class Browser:
    """One window, and what was wrong with the pages that it has shown."""

    def __init__(self, url: str, shots: Path, profile: Path) -> None:
        shots.mkdir(parents=True, exist_ok=True)
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        # Root may not have a sandbox, and containers have little shared memory.
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument("--window-size=1400,1000")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.url = url
        self.shots = shots
        self.faults: list[str] = []
        self.pages = 0
        self.page = ""
        self.driver = Chrome(options, ChromeService(DRIVER))

    def open(self, path: str, name: str) -> None:
        """Goes to a page."""
        self.page = name
        self.driver.get(f"{self.url}{path}")

    def text(self) -> str:
        """What a reader sees of the page, without its lines: a name may be in pieces that stand side by side."""
        try:
            return self.driver.find_element(By.TAG_NAME, "body").text.replace("\n", "")
        except StaleElementReferenceException:
            return ""

    def wait_for(self, shown: str) -> None:
        """Waits until a reader can see this."""
        until(f"{self.page} shows {shown}", lambda: shown in self.text())

    def wait_for_tab(self, tab: str) -> None:
        """Waits until a tab of the page is the one that is seen."""
        pane = self.driver.find_element(By.ID, tab)
        until(f"{tab} is seen", lambda: pane.is_displayed() and pane.value_of_css_property("opacity") == "1")

    def wait_for_notice(self) -> str:
        """Waits for what the page says about a button that was pressed."""

        def notice() -> str:
            shown = self.driver.find_elements(By.CSS_SELECTOR, "#alert, .toast, .alert")
            return " ".join(one.text for one in shown if one.is_displayed() and one.text)

        return until(f"{self.page} says what came of it", notice)

    def click(self, name: str) -> None:
        """Clicks on the element of this id."""
        self.driver.execute_script("arguments[0].click()", self.driver.find_element(By.ID, name))

    def agree(self) -> None:
        """Confirms, where the page asks whether that is meant."""
        try:
            self.driver.switch_to.alert.accept()
        except NoAlertPresentException:
            return

    def keep(self, name: str) -> None:
        """Takes a picture, and notes what is wrong with what it shows."""
        self.pages += 1
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))
        missing = [one for one in self.driver.find_elements(By.CSS_SELECTOR, MISSING) if one.is_displayed()]
        self.faults += [f"{name}: a value is missing" for _ in missing]
        for line in self.driver.get_log("browser"):
            if line["level"] == "SEVERE" and REFUSED not in line["message"]:
                self.faults.append(f"{name}: {line['message']}")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if failed:
                self.driver.save_screenshot(str(self.shots / "last.png"))
            self.driver.quit()
        except WebDriverException:
            # It has ended before.
            return
