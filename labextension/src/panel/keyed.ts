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
   * @param _key - tells items apart
   * @param _make - makes an element for an item; `show` is called right after
   * @param _first - how many other nodes of the parent come before them; none comes after
   */
  constructor(
    private readonly _parent: Element,
    private readonly _key: (item: Item) => string,
    private readonly _make: (item: Item) => Row<Item>,
    private readonly _first = 0
  ) {}

  /** Show these items in this order. */
  update(items: readonly Item[]): void {
    const wanted = new Set(items.map(this._key));
    for (const [key, { row }] of this._rows) {
      if (!wanted.has(key)) {
        row.node.remove();
        this._rows.delete(key);
      }
    }
    let next: Node | null = this._parent.childNodes.item(this._first);
    for (const item of items) {
      const { node } = this._shown(item);
      if (node === next) {
        next = next.nextSibling;
      } else {
        this._parent.insertBefore(node, next);
      }
    }
  }

  private _shown(item: Item): Row<Item> {
    const key = this._key(item);
    const known = this._rows.get(key);
    if (known?.item === item) {
      return known.row;
    }
    const row = known?.row ?? this._make(item);
    row.show(item);
    this._rows.set(key, { item, row });
    return row;
  }

  private readonly _rows = new Map<string, { item: Item; row: Row<Item> }>();
}
