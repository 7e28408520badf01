"use strict";
(function () {
  var table = document.getElementById("table");
  var body = table.tBodies[0];
  var filter = document.getElementById("filter");
  filter.parentNode.hidden = false;
  filter.addEventListener("input", function () {
    var words = filter.value.toLowerCase().split(/\s+/);
    Array.prototype.forEach.call(body.rows, function (row) {
      var facts = row.querySelector("dl"); // names other steps
      var text = row.textContent.replace(facts ? facts.textContent : "", "").toLowerCase();
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
    });
  });

  function value(row, column, kind) {
    var cell = row.cells[column];
    return kind === "number" ? Number(cell.dataset.value) : cell.textContent;
  }
  function sort(head, column, kind) {
    var down = head.getAttribute("aria-sort") !== "descending";
    if (kind === "text") { down = head.getAttribute("aria-sort") === "ascending"; }
    Array.prototype.forEach.call(head.parentNode.cells, function (other) {
      other.removeAttribute("aria-sort");
    });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      var x = value(a, column, kind), y = value(b, column, kind);
      var order = x < y ? -1 : x > y ? 1 : 0;
      return down ? -order : order;
    });
    rows.forEach(function (row) { body.appendChild(row); });
  }
  Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
    var kind = head.dataset.sort;
    if (!kind) { return; }
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.appendChild(button);
    button.addEventListener("click", function () { sort(head, column, kind); });
  });

  function open() {
    var row = document.getElementById(location.hash.slice(1));
    if (!row || row.tagName !== "TR") { return; }
    row.hidden = false;
    var details = row.querySelector("details");
    if (details) { details.open = true; }
    row.scrollIntoView({ block: "center" });
  }
  window.addEventListener("hashchange", open);
  open();
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("#failures details").forEach(function (d) { d.open = true; });
  });
})();
