import type { Kernel } from '@jupyterlab/services';
import { expect, it, vi } from 'vitest';

import { isInstalled } from '../src/kernel/installed';

/** A kernel that answers with this, and what it was asked. */
function made(content: object) {
  const requestExecute = vi.fn<(request: object) => object>(() => ({
    done: Promise.resolve({ content })
  }));
  return { requestExecute, kernel: { requestExecute } as unknown as Kernel.IKernelConnection };
}

it.each([
  [{ status: 'ok', user_expressions: { found: { data: { 'text/plain': 'True' } } } }, true],
  [{ status: 'ok', user_expressions: { found: { data: { 'text/plain': 'False' } } } }, false],
  [{ status: 'ok', user_expressions: { found: { status: 'error', ename: 'NameError' } } }, false],
  [{ status: 'ok', user_expressions: {} }, false],
  [{ status: 'error', ename: 'KeyboardInterrupt' }, false]
])('of a kernel that answers %o is %s', async (content, expected) => {
  expect(await isInstalled(made(content).kernel)).toBe(expected);
});

it('asks without running anything', async () => {
  const { kernel, requestExecute } = made({ status: 'error' });

  await isInstalled(kernel);

  expect(requestExecute.mock.calls[0][0]).toMatchObject({ code: '', silent: true });
});
