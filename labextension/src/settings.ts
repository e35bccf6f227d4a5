import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Token } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { keptMode } from './modes/metadata';
import type { Mode } from './kernel/types';

/** What people set in JupyterLab's settings editor; see `schema/plugin.json`. */
export interface ISettings {
  /** Mode of notebooks that say nothing themselves; null leaves it to the kernel. */
  readonly defaultMode: Mode | null;
  /** Whether cells have badges. */
  readonly badges: boolean;
  /** Whether the cassette is saved with the notebook. */
  readonly saveCassette: boolean;
  /** Digits after the point of amounts in USD. */
  readonly decimals: number;
  /** One of them is another. */
  readonly changed: ISignal<ISettings, void>;
}

export const ISettings = new Token<ISettings>(
  'llm-magic:ISettings',
  'The settings of llm-magic in JupyterLab.'
);

/** Settings as they are in the registry, and the defaults of the schema until they are there. */
export class Settings implements ISettings {
  /** Begin to follow what is set. */
  follow(found: ISettingRegistry.ISettings): void {
    found.changed.connect(() => {
      this._read(found.composite);
    });
    this._read(found.composite);
  }

  get defaultMode(): Mode | null {
    return this._defaultMode;
  }

  get badges(): boolean {
    return this._badges;
  }

  get saveCassette(): boolean {
    return this._saveCassette;
  }

  get decimals(): number {
    return this._decimals;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  private _read(values: ISettingRegistry.ISettings['composite']): void {
    this._defaultMode = keptMode(values.defaultMode);
    this._badges = values.badges as boolean;
    this._saveCassette = values.saveCassette as boolean;
    this._decimals = values.decimals as number;
    this._changed.emit();
  }

  private _defaultMode: Mode | null = null;
  private _badges = true;
  private _saveCassette = true;
  private _decimals = 2;
  private readonly _changed = new Signal<this, void>(this);
}
