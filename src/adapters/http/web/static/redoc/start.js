"use strict";
window.addEventListener("load", () => {
  const page = document.getElementById("redoc");
  Redoc.init(page.dataset.schema, { disableSearch: false, hideDownloadButton: false }, page);
});
