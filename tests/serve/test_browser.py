"""The page in a real browser, at the width of a desk and of a phone, by mouse and by keys alone."""

import io
import os
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
from served import KEY  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")]
WIDTHS = {"desk": (1280, 900), "phone": (360, 740)}
HANDLE = "#result [data-testid=slider]"


@pytest.fixture(scope="module")
def serve(checkpoint, tmp_path_factory):
    """Start `colorgan serve`; returns its address."""
    started = []

    def start(*flags):
        folder = tmp_path_factory.mktemp("served")
        main = "from colorgan.cli.main import main; main()"
        command = [sys.executable, "-c", main, "serve", "--checkpoint", checkpoint, "--port", "0", "--engine", "torch"]
        process = subprocess.Popen(
            [*map(str, command), "--results", str(folder), *flags], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        started.append(process)
        return next(line.strip() for line in process.stdout if line.startswith("http"))

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


@pytest.fixture(scope="module")
def address(serve):
    return serve()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def open_page(request, browser):
    """Open a page that may ask its own server alone; what it asks of others, and what goes wrong in it, is a fault."""
    faults, contexts = [], []

    def open_(address, **options):
        width, height = WIDTHS[request.param]
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)

        def decide(route):
            if route.request.url.startswith((address, "data:", "blob:")):
                return route.continue_()
            faults.append(route.request.url)
            return route.abort()

        page.route("**/*", decide)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "a_photo.jpg"
    Image.fromarray(astronaut()).save(file, quality=95)
    return file


def choose(page, photo):
    page.wait_for_selector("#photo input[type=file]", state="attached")
    page.set_input_files("#photo input[type=file]", photo)
    page.wait_for_selector("#result img:nth-of-type(2)")
    wait_for(page, "pixels")


def wait_for(page, words, where="#message"):
    """Wait for words to stand, and for pictures to be drawn."""
    until(page, "([at, words]) => document.querySelector(at)?.innerText.includes(words)", [where, words])
    until(page, "() => [...document.images].every((image) => image.complete)")
    page.wait_for_timeout(300)


def until(page, condition, argument=None):
    """Wait as `wait_for_function` does, which the page's own policy against `eval` forbids."""
    for _ in range(300):
        if page.evaluate(condition, argument):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {condition} {argument}, but {page.inner_text('body')}")


def sides(page):
    """How colourful the picture is left and right of the line, and where that is, in shares of the width."""
    wrap = page.locator("#result .slider-wrap .wrap")
    pixels = np.asarray(Image.open(io.BytesIO(wrap.screenshot())).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    box, handle = wrap.bounding_box(), page.locator(f"{HANDLE} .inner").bounding_box()
    line = (handle["x"] + handle["width"] / 2 - box["x"]) / box["width"]
    chroma = np.ptp(pixels, axis=2)[int(0.6 * height) : int(0.9 * height)]  # below handle and label
    at, shown = int(line * width), np.flatnonzero((pixels < 250).any(axis=(0, 2)))
    left, right = chroma[:, shown[0] + 2 : at - 4], chroma[:, at + 4 : shown[-1] - 2]
    return line, left.mean(), right.mean()


def test_a_photo_stands_gray_and_colored_beside_the_line(address, open_page, photo):
    page = open_page(address)
    choose(page, photo)
    assert "a_photo: 512 x 512 pixels" in page.inner_text("#message")
    box = page.locator(f"{HANDLE} .inner").bounding_box()
    y = box["y"] + box["height"] / 2
    for move in (0, 60, -120):
        if move:
            box = page.locator(f"{HANDLE} .inner").bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, y)
            page.mouse.down()
            page.mouse.move(box["x"] + move, y, steps=4)
            page.mouse.up()
            page.wait_for_timeout(200)
        line, left, right = sides(page)
        assert left < 1 < 3 < right, (move, line, left, right)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_settings_examples_original_and_download(address, open_page, photo):
    page = open_page(address)
    choose(page, photo)
    page.get_by_text("Settings").click()
    page.check("#beside input")
    page.wait_for_selector("#original img")
    page.fill("#strength input[type=number]", "0")
    page.press("#strength input[type=number]", "Enter")
    page.wait_for_timeout(500)
    wait_for(page, "pixels")
    assert max(sides(page)[1:]) < 1
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "a_photo-colored.jpg"
    assert Image.open(download.value.path()).size == (512, 512)
    page.locator("#examples").get_by_role("button", name="chelsea").click()
    wait_for(page, "chelsea: 451 x 300 pixels")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_errors_are_words_that_stay_beside_the_last_result(address, open_page, photo, tmp_path):
    page = open_page(address)
    choose(page, photo)
    shown = page.locator("#result img").nth(1).get_attribute("src")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:100])
    page.fill("#address input", "http://127.0.0.1/photo.jpg")
    page.press("#address input", "Enter")
    wait_for(page, "not on the public internet")
    assert page.locator("#message [role=alert]").is_visible()
    page.locator("#photo").get_by_role("button", name="Clear").click()
    page.wait_for_selector("#photo input[type=file]", state="attached")
    page.set_input_files("#photo input[type=file]", broken)
    until(page, "() => !document.querySelector('#message').innerText.includes('internet')")
    page.wait_for_selector("#message [role=alert]")
    page.wait_for_timeout(1500)
    assert page.locator("#message [role=alert]").inner_text()
    assert page.locator("#result img").nth(1).get_attribute("src") == shown
    _, left, right = sides(page)
    assert left < 1 < 3 < right


def test_all_of_it_by_keys(address, open_page, photo):
    page = open_page(address)
    page.wait_for_selector("#photo button")
    with page.expect_file_chooser() as chooser:
        tab_to(page, "#photo button")
        page.keyboard.press("Enter")
    chooser.value.set_files(photo)
    wait_for(page, "pixels")
    tab_to(page, HANDLE)
    page.wait_for_timeout(300)
    before = sides(page)[0]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(150)
    assert sides(page)[0] == pytest.approx(before + 0.15, abs=0.03)
    assert int(page.get_attribute(HANDLE, "aria-valuenow")) == pytest.approx(100 * sides(page)[0], abs=2)
    tab_to(page, "button:has-text('Settings')")
    page.keyboard.press("Enter")
    tab_to(page, "#strength input[type=range]")
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    wait_for(page, "pixels")
    assert max(sides(page)[1:]) < 1
    tab_to(page, "#beside input")
    page.keyboard.press("Space")
    page.wait_for_selector("#original img")
    with page.expect_download():
        tab_to(page, "#download, #download *")
        page.keyboard.press("Enter")
    tab_to(page, "#examples button")
    page.keyboard.press("Enter")
    wait_for(page, "astronaut")
    tab_to(page, "[role=tab]:not([aria-selected=true])")
    page.keyboard.press("Enter")
    page.wait_for_selector("#film button")
    tab_to(page, "#film button")


def tab_to(page, selector):
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate_handle("document.activeElement").as_element()
        if any(found.evaluate("(a, b) => a === b", each) for each in page.query_selector_all(selector)):
            return
    raise AssertionError(f"no key reaches {selector}")


def test_a_film_is_colored_and_plays(address, open_page, tmp_path):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(astronaut()[::8, ::8], i, 1)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    page = open_page(address)
    page.get_by_role("tab", name="Film").click()
    page.evaluate("""() => { window.said = []; new MutationObserver(() => said.push(
        document.querySelector('#film-message')?.innerText)).observe(document.body, {childList: true, subtree: true,
        characterData: true}) }""")
    page.set_input_files("#film input[type=file]", film)
    wait_for(page, "done", "#film-message")
    page.wait_for_selector("#film-result video")
    until(page, "() => document.querySelector('#film-result video').readyState >= 2")
    assert page.evaluate("document.querySelector('#film-result video').duration") == pytest.approx(1, abs=0.1)
    assert any("%" in (text or "") or "wait" in (text or "") for text in page.evaluate("said"))
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(address, open_page, scheme):
    """At least 4.5 between text and ground, as WCAG asks."""
    page = open_page(address, color_scheme=scheme)
    page.wait_for_selector("#photo button")
    page.get_by_text("Settings").click()
    page.wait_for_timeout(500)
    worst = page.evaluate(_CONTRAST)
    assert worst[0] >= 4.5, worst
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, body[4:-1].split(","))) < 200) == (scheme == "dark")


_CONTRAST = """() => {
  const rgba = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => c.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor); if ((c[3] ?? 1) > .9) return c; } return [255, 255, 255]; };
  let worst = [99, ""];
  for (const e of document.querySelectorAll("main *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 200)];
  }
  return worst;
}"""


def test_with_keys_the_page_asks_for_one(serve, open_page, tmp_path, photo):
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    page = open_page(serve("--keys", str(keys)))
    page.wait_for_selector("input[type=password]")
    assert page.query_selector("#photo") is None
    page.fill("input[type=text], textarea", "anybody")
    page.fill("input[type=password]", KEY)
    page.get_by_role("button", name="Login").click()
    choose(page, photo)
    assert sides(page)[2] > 3
