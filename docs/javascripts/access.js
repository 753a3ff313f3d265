// Mends what the theme adds after loading: tables that scroll are reached by keyboard, and the copy buttons of code have names.
function mend() {
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach(node => { node.tabIndex = 0; });
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach(node => {
    node.setAttribute("aria-label", `Code ${document.querySelectorAll(".md-code__nav[aria-label]").length + 1}`);
  });
}
new MutationObserver(mend).observe(document.body, {childList: true, subtree: true});
mend();
