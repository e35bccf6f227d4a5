import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, ISessionContextDialogs, showDialog } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';

import { MODES } from './modes/mode';
import { IModes } from './modes/modes';
import { choose } from './modes/modeview';
import { save } from './panel/opennotebook';
import { planNode } from './planview';
import { noticesIn } from './notices';
import { ISavers } from './saving/saving';
import { isInstalled } from './kernel/installed';
import { ISessions } from './kernel/sessions';
import type { NotebookPlan } from './kernel/types';
import { errorText, modeMeaning } from './panel/wording';

/** What the commands work with. */
interface Tools {
  readonly tracker: INotebookTracker;
  readonly sessions: ISessions;
  readonly modes: IModes;
  readonly savers: ISavers;
  readonly trans: TranslationBundle;
  readonly dialogs?: ISessionContextDialogs;
  readonly translator?: ITranslator;
}

/** All commands, by their names. */
function all(around: Tools): Record<string, CommandRegistry.ICommandOptions> {
  const { trans, tracker, sessions, savers, modes } = around;
  const current = (): NotebookPanel | null => tracker.currentWidget;
  const isLoaded = (): boolean => sessions.current?.state != null;
  const commands: Record<string, CommandRegistry.ICommandOptions> = {};
  for (const mode of MODES) {
    commands[`llm-magic:mode-${mode.toLowerCase()}`] = {
      label: trans.__('Mode: %1', mode),
      caption: modeMeaning(mode, trans),
      isToggleable: true,
      isToggled: () => {
        const panel = current();
        return panel !== null && modes.of(panel).mode === mode;
      },
      isEnabled: () => {
        const panel = current();
        return panel !== null && modes.of(panel).offers(mode);
      },
      execute: async () => {
        const panel = current();
        if (panel) {
          await choose(modes.of(panel), mode, trans);
        }
      }
    };
  }
  commands['llm-magic:save-cassette'] = {
    label: trans.__('Save Cassette'),
    caption: trans.__('Write what was recorded beside the notebook'),
    isEnabled: isLoaded,
    execute: async () => {
      const panel = current();
      if (panel) {
        await savers.of(panel).save();
      }
    }
  };
  commands['llm-magic:run-all-replay'] = {
    label: trans.__('Run All Cells in REPLAY'),
    caption: trans.__('From recordings only, then back to the mode before'),
    isEnabled: () => current() !== null,
    execute: async () => {
      const panel = current();
      if (panel) {
        await told(replayAll(panel, around), trans);
      }
    }
  };
  commands['llm-magic:plan'] = {
    label: trans.__('Plan Costs'),
    caption: trans.__('What running the notebook would ask and cost; nothing is run'),
    isEnabled: isLoaded,
    execute: async () => {
      const panel = current();
      if (panel) {
        await told(showPlan(panel, around), trans);
      }
    }
  };
  return commands;
}

/** Where nothing could be replayed nothing is run: the cells would ask as ever, and cost. */
async function replayAll(panel: NotebookPanel, around: Tools): Promise<void> {
  const { modes, trans } = around;
  const kernel = panel.sessionContext.session?.kernel;
  if (kernel && !modes.of(panel).isLoaded && !(await isInstalled(kernel))) {
    throw new Error(trans.__('this kernel has no llm-magic, so no cell was run'));
  }
  await modes.of(panel).during('REPLAY', () => runAll(panel, around));
}

/** Not by the command, which takes the notebook that people look at by then. */
async function runAll(panel: NotebookPanel, { dialogs, translator }: Tools): Promise<void> {
  const { content, sessionContext } = panel;
  await NotebookActions.runAll(content, sessionContext, dialogs, translator);
}

async function showPlan(panel: NotebookPanel, { sessions, trans }: Tools): Promise<void> {
  await save(panel.context);
  const plan = (await sessions.of(panel).ask({ type: 'plan' })) as NotebookPlan;
  await showDialog({
    title: trans.__('What running %1 would cost', plan.notebook),
    body: new Widget({ node: planNode(plan, trans) }),
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}

/** Wait for something, and tell people when it failed. */
async function told(work: Promise<void>, trans: TranslationBundle): Promise<void> {
  try {
    await work;
  } catch (error) {
    noticesIn(trans).error(`llm-magic: ${errorText(error, trans)}`);
  }
}

export const commands: JupyterFrontEndPlugin<void> = {
  id: 'llm-magic:commands',
  description: 'Modes, cassette and plan in the command palette',
  autoStart: true,
  requires: [INotebookTracker, ISessions, IModes, ISavers],
  optional: [ICommandPalette, ITranslator, ISessionContextDialogs],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    sessions: ISessions,
    modes: IModes,
    savers: ISavers,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
    dialogs: ISessionContextDialogs | null
  ) => {
    const trans = (translator ?? nullTranslator).load('llm_magic');
    const made = all({
      tracker,
      sessions,
      modes,
      savers,
      trans,
      dialogs: dialogs ?? undefined,
      translator: translator ?? undefined
    });
    for (const [name, options] of Object.entries(made)) {
      app.commands.addCommand(name, options);
      palette?.addItem({ command: name, category: 'llm-magic' });
    }
    sessions.currentChanged.connect(() => {
      Object.keys(made).forEach(name => {
        app.commands.notifyCommandChanged(name);
      });
    });
  }
};
