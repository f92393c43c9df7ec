// What the address names. Filters live in the fragment: no log sees them.
import { pathOf } from "./api.js";

/** Return what a fragment names: one of the views, by name, with its filters, or one operation. */
export function routeOf(hash, views) {
  const [path, filters = ""] = hash.replace(/^#\/?/, "").split("?"), parts = path.split("/");
  const query = new URLSearchParams(filters);
  if (parts[0] === "operations" && parts.length === 3) {
    const [subscriptionId, key] = parts.slice(1).map(part => { try { return decodeURIComponent(part); } catch { return part; } });
    return { view: "operation", query, path: pathOf({ subscriptionId, key }), id: `${subscriptionId}/${key}` };
  }
  return { view: Object.hasOwn(views, parts[0]) ? parts[0] : "operations", query };
}
