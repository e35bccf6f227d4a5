/** One element of a list, which shows one item. */
export interface Row<Item> {
  readonly node: HTMLElement;
  /** Show an item; the first time, and whenever it is another than before. */
  show(item: Item): void;
}

/**
 * Elements for items, kept by the key of the item.
 *
 * A message from the kernel changes one call of hundreds. Only what changed is touched, so that the
 * focus, the place people scrolled to, and what they expanded stay.
 */
export class KeyedList<Item> {
  /**
   * @param _parent - holds the elements
   * @param _key - tells items apart; of those with one key, their order does
   * @param _make - makes an element for an item; `show` is called right after
   * @param _first - how many other nodes of the parent come before them; none comes after
   */
  constructor(
    private readonly _parent: Element,
    private readonly _key: (item: Item) => string,
    private readonly _make: (item: Item) => Row<Item>,
    private readonly _first = 0
  ) {}

  /**
   * Show these items in this order.
   *
   * @param items - those that are not in it go
   * @param how - what else rows go by: all are shown anew where it is another than before
   */
  update(items: readonly Item[], how: unknown = null): void {
    const isAnew = how !== this._how;
    this._how = how;
    const keys = numbered(items.map(this._key));
    const wanted = new Set(keys);
    for (const [key, { row }] of this._rows) {
      if (!wanted.has(key)) {
        row.node.remove();
        this._rows.delete(key);
      }
    }
    let next: Node | null = this._parent.childNodes.item(this._first);
    for (const [index, item] of items.entries()) {
      const { node } = this._shown(item, keys[index], isAnew);
      if (node === next) {
        next = next.nextSibling;
      } else {
        this._parent.insertBefore(node, next);
      }
    }
  }

  private _shown(item: Item, key: string, isAnew: boolean): Row<Item> {
    const known = this._rows.get(key);
    if (known?.item === item && !isAnew) {
      return known.row;
    }
    const row = known?.row ?? this._make(item);
    row.show(item);
    this._rows.set(key, { item, row });
    return row;
  }

  private _how: unknown = null;
  private readonly _rows = new Map<string, { item: Item; row: Row<Item> }>();
}

/** Keys of which no two are alike: the second of one, and those after it, have a number. */
function numbered(keys: readonly string[]): string[] {
  const times = new Map<string, number>();
  return keys.map(key => {
    const before = times.get(key) ?? 0;
    times.set(key, before + 1);
    return before ? `${key}\n${before}` : key;
  });
}
