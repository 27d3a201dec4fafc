// Before anything is painted: the colours that were chosen here before, if any.
"use strict";
try {
  const chosen = localStorage.getItem("context-gateway-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's colours hold.
}
