// Give Gradio's components what they lack: keys for the line between gray and colour, names, the result in view.
(() => {
  const STEPS = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, Home: -1, End: 1 };

  const share = (handle) => {
    const whole = handle.parentElement.getBoundingClientRect();
    const inner = handle.querySelector(".inner").getBoundingClientRect();
    return [(inner.left + inner.width / 2 - whole.left) / whole.width, whole];
  };

  const tell = (handle) => handle.setAttribute("aria-valuenow", Math.round(100 * share(handle)[0]));

  const move = (handle, step) => {
    const [now, whole] = share(handle);
    const target = Math.min(0.995, Math.max(0.005, now + step));
    const at = (part) => ({
      clientX: whole.left + part * whole.width, clientY: whole.top + whole.height / 2, view: window, bubbles: true,
    });
    handle.querySelector(".inner").dispatchEvent(new MouseEvent("mousedown", at(now)));
    window.dispatchEvent(new MouseEvent("mousemove", at(target)));
    window.dispatchEvent(new MouseEvent("mouseup", at(target)));
    setTimeout(() => tell(handle), 100);
  };

  const dress = () => {
    const handle = document.querySelector("#result [data-testid=slider]");
    if (handle && !handle.hasAttribute("tabindex")) {
      const facts = { tabindex: 0, role: "slider", "aria-label": "Line between gray and colour",
        "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 50 };
      for (const [name, value] of Object.entries(facts)) handle.setAttribute(name, value);
      handle.addEventListener("keydown", (event) => {
        if (!(event.key in STEPS)) return;
        event.preventDefault();
        move(handle, STEPS[event.key]);
      });
      window.addEventListener("pointerup", () => handle.isConnected && tell(handle));
    }
    document.querySelectorAll("#result img").forEach((image, i) => { image.alt ||= i ? "in colour" : "in gray"; });
    document.querySelectorAll("#examples button:not([aria-label])").forEach((button) => {
      const image = button.querySelector("img");
      if (image) button.setAttribute("aria-label", image.src.split("/").pop().split(".")[0]);
    });
    document.querySelector("#address button")?.setAttribute("aria-label", "Colour the photo at this address");
    document.querySelectorAll("#message, #film-message").forEach((message) => message.setAttribute("role", "status"));
  };

  // On a phone the result is below the controls.
  const show = (records) => {
    for (const { target } of records) {
      const message = (target.closest ? target : target.parentElement)?.closest("#message, #film-message");
      if (message && message.innerText.trim() && innerWidth < 700) {
        message.scrollIntoView({ block: "start" });
        return;
      }
    }
  };

  new MutationObserver((records) => { dress(); show(records); }).observe(
    document.documentElement, { childList: true, characterData: true, subtree: true },
  );
})();
