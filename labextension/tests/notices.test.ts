import { Notification, showDialog } from '@jupyterlab/apputils';
import { expect, it, vi } from 'vitest';

import { noticesIn } from '../src/notices';
import { trans } from './panelfakes';

vi.mock('@jupyterlab/apputils', () => ({
  Notification: { info: vi.fn(), error: vi.fn() },
  Dialog: { okButton: vi.fn() },
  showDialog: vi.fn(() => Promise.resolve())
}));
vi.mock('@lumino/widgets', () => ({
  Widget: class {
    constructor(readonly options: { node: HTMLElement }) {}
  }
}));

it('a short notice goes by itself', () => {
  noticesIn(trans).info('x'.repeat(140));

  expect(Notification.info).toHaveBeenCalledWith('x'.repeat(140), { autoClose: 3_000 });
});

it('a notice that JupyterLab would cut has a button that shows all of it', () => {
  const long = `<b>${'x'.repeat(200)}`;

  noticesIn(trans).error(long);
  const [, options] = vi.mocked(Notification.error).mock.calls[0];
  options?.actions?.[0].callback(new MouseEvent('click'));

  const [shown] = vi.mocked(showDialog).mock.calls[0];
  const { options: body } = shown?.body as unknown as { options: { node: HTMLElement } };
  expect(options?.actions?.[0].label).toBe('Show all');
  expect(body.node.textContent).toBe(long);
});
