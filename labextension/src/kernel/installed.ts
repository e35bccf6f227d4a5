import type { Kernel } from '@jupyterlab/services';

const FOUND = "__import__('importlib.util').util.find_spec('llm_magic') is not None";

/** Whether a kernel could load llm-magic; it is asked when it has done what it was given before. */
export async function isInstalled(kernel: Kernel.IKernelConnection): Promise<boolean> {
  const request = { code: '', silent: true, store_history: false, allow_stdin: false };
  const reply = await kernel.requestExecute({ ...request, user_expressions: { found: FOUND } })
    .done;
  if (reply.content.status !== 'ok') {
    return false;
  }
  const { found } = reply.content.user_expressions;
  return (found as { data?: Record<string, unknown> } | undefined)?.data?.['text/plain'] === 'True';
}
