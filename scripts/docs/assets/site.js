// What scrolls can be reached by the keyboard, and the buttons of each block of code have a name of their own for screen readers.
// The theme takes a block's place in the order of the keyboard when its size changes, so attributes are watched, too.
const mend = () => {
  document.querySelectorAll(".md-code__nav").forEach((nav, i) => nav.setAttribute("aria-label", `Block ${i + 1}`));
  document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap").forEach((box) => {
    const isReached = box.hasAttribute("tabindex");
    if (box.scrollWidth > box.clientWidth && !isReached) box.tabIndex = 0;
    if (box.scrollWidth <= box.clientWidth && isReached) box.removeAttribute("tabindex");
  });
};
new MutationObserver(mend).observe(document.body, { attributeFilter: ["tabindex"], childList: true, subtree: true });
addEventListener("resize", mend);
addEventListener("load", mend);
mend();
