// Keeps the reader's place in a table while a changed row is replaced as a whole: its focus and its selection.
const rowOf = node => (node?.nodeType === Node.TEXT_NODE ? node.parentElement : node)?.closest?.("tr[data-row]");

function pathIn(row, node) {
  const path = [];
  for (let at = node; at !== row; at = at.parentNode) path.unshift([...at.parentNode.childNodes].indexOf(at));
  return path;
}

function point(node, offset) {
  const row = rowOf(node);
  return row ? { row: row.dataset.row, path: pathIn(row, node), offset, node } : { node, offset };
}

function resolve(table, place) {
  if (place.node.isConnected) return [place.node, place.offset];
  const row = findRow(table, place.row);
  const node = row && place.path.reduce((at, i) => at?.childNodes[i], row);
  const length = node && (node.nodeType === Node.TEXT_NODE ? node.length : node.childNodes.length);
  return node ? [node, Math.min(place.offset, length)] : null;
}

const findRow = (table, id) => [...table.querySelectorAll("tr[data-row]")].find(row => row.dataset.row === id);

/** Return where the reader is in `table`, to be given to `putBack` after the table has changed. */
export function placeIn(table) {
  if (!table) return null;
  const active = document.activeElement, selection = getSelection();
  const row = table.contains(active) ? rowOf(active) : null;
  const isSelecting = !selection.isCollapsed && (table.contains(selection.anchorNode) || table.contains(selection.focusNode));
  return {
    focus: row && { row: row.dataset.row, node: active, path: pathIn(row, active) },
    selection: isSelecting && [point(selection.anchorNode, selection.anchorOffset), point(selection.focusNode, selection.focusOffset)],
  };
}

/** Put the focus and the selection back where their rows have been replaced. */
export function putBack(table, place) {
  if (!table || !place) return;
  const { focus, selection } = place;
  if (focus && !focus.node.isConnected) findRow(table, focus.row)?.querySelector("a")?.focus({ preventScroll: true });
  if (selection && !selection.every(({ node }) => node.isConnected)) {
    const [anchor, end] = selection.map(place => resolve(table, place));
    if (anchor && end) getSelection().setBaseAndExtent(...anchor, ...end);
  }
}
