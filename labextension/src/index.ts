import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { badges } from './answers/badges';
import { commands } from './commands';
import { modes } from './modes/modes';
import { modeSwitch } from './modes/modeview';
import { panel } from './panel/panel';
import { prompts } from './prompts/prompts';
import { renderer } from './answers/renderer';
import { saving } from './saving/saving';
import { ISessions, Sessions } from './kernel/sessions';
import { ISettings, Settings } from './settings';
import { status } from './status';

const settings: JupyterFrontEndPlugin<ISettings> = {
  id: 'llm-magic:plugin',
  description: 'Reads the settings',
  autoStart: true,
  provides: ISettings,
  optional: [ISettingRegistry],
  activate: (_, registry: ISettingRegistry | null) => {
    const settings = new Settings();
    registry?.load('llm-magic:plugin').then(
      found => {
        settings.follow(found);
      },
      () => {
        // Without our schema the defaults stay.
      }
    );
    return settings;
  }
};

const sessions: JupyterFrontEndPlugin<ISessions> = {
  id: 'llm-magic:sessions',
  description: 'Knows mode, cost, calls and recordings of open notebooks',
  autoStart: true,
  provides: ISessions,
  requires: [INotebookTracker],
  activate: (_, tracker: INotebookTracker) => new Sessions(tracker)
};

export default [
  settings,
  sessions,
  modes,
  modeSwitch,
  status,
  saving,
  commands,
  panel,
  renderer,
  badges,
  prompts
];
