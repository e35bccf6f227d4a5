/** An answer in the page: its text, and under it what is known of where it came from. */

import type { TranslationBundle } from '@jupyterlab/translation';

import { arithmetic } from './arithmetic';
import { copyButton } from '../copybutton';
import type { CopyTools } from '../copybutton';
import { element } from '../dom';
import { footer, modelName, plainly } from './footer';
import { duration, shown } from '../format';
import { MIME_TYPE, number, readProvenance, text } from './provenance';
import { rebuild } from './safe';
import type { CallDetail, Provenance } from '../kernel/types';
import { errorText } from '../panel/wording';

/** What the view of an answer works with. */
export interface AnswerTools extends CopyTools {
  /** Digits after the point of amounts, as people set them. */
  readonly decimals: number;
  /**
   * Ask the kernel for the recording of an answer.
   *
   * @returns a promise; it is rejected with words for people
   */
  detail(key: string, ordinal: number): Promise<CallDetail>;
}

const IGNORE = 'tex2jax_ignore mathjax_ignore';

/**
 * Show an answer.
 *
 * @param data - an output's data by mime type; whatever stands in it, something is shown
 */
export function answerView(
  data: Readonly<Record<string, unknown>>,
  tools: AnswerTools
): HTMLElement {
  const plain = joined(data['text/plain']);
  const rebuilt = rebuild(joined(data['text/html']));
  // Only what `rebuild` says is a formula is typeset.
  const view = element('div', { class: `llm-magic-answer ${IGNORE}` });
  if (rebuilt) {
    view.append(rebuilt.content);
    addCopyButtons(view, tools);
  } else {
    view.append(element('pre', {}, shown(plain)));
  }
  const remarks = rebuilt?.footer ?? [];
  const answer = answerText(plain, remarks, asides(view));
  view.append(about(readProvenance(data[MIME_TYPE]), remarks, answer, tools));
  return view;
}

/**
 * The answer alone, from its plain text, below which stand thoughts, calls and the footer.
 *
 * @param remarks - lines of the footer
 * @param beside - what else stands below it, each with a title
 */
export function answerText(
  plain: string,
  remarks: readonly string[],
  beside: readonly (readonly [title: string, text: string])[]
): string {
  const below = [...beside.map(([title, text]) => `${title}:\n${text}`), remarks.join('\n')];
  let answer = plain;
  for (const block of below.filter(block => block).reverse()) {
    if (!answer.endsWith(block)) {
      break;
    }
    answer = answer.slice(0, -block.length).replace(/\n\n$/, '');
  }
  return answer || plain;
}

/** Titles and texts of what is folded away below an answer. */
function asides(view: Element): [string, string][] {
  return [...view.querySelectorAll('.llm-magic-aside')].map(aside => [
    aside.querySelector('summary')?.textContent ?? '',
    aside.querySelector('pre')?.textContent ?? ''
  ]);
}

/** Give each block of program text a button. */
function addCopyButtons(view: Element, tools: AnswerTools): void {
  for (const block of view.querySelectorAll('pre')) {
    const code = block.querySelector(':scope > code');
    if (code) {
      const frame = element('div', { class: 'jp-LlmMagic-codeBlock' });
      block.replaceWith(frame);
      frame.append(
        block,
        labelledCopy(tools.trans.__('Copy code'), () => code.textContent, tools)
      );
    }
  }
}

/** The footer: a line that unfolds what is known, the notes, and a button for the answer. */
function about(
  provenance: Provenance,
  remarks: readonly string[],
  answer: string,
  tools: AnswerTools
): HTMLElement {
  const { trans, decimals } = tools;
  const line = provenance.version ? footer(provenance, trans, decimals) : remarks[0];
  const notes = remarks.length
    ? remarks.slice(1)
    : provenance.notes.map(note => trans.__('note: %1', plainly(note)));
  const unfolded = element(
    'details',
    { class: 'jp-LlmMagic-unfolded' },
    element('summary', {}, line || trans.__('nothing is known of this answer')),
    details(provenance, tools)
  );
  return element(
    'div',
    { class: `jp-LlmMagic-about ${IGNORE}` },
    element(
      'div',
      { class: 'jp-LlmMagic-line' },
      unfolded,
      labelledCopy(trans.__('Copy answer'), () => answer, tools)
    ),
    ...notes.map(note => element('div', {}, note))
  );
}

function details(provenance: Provenance, tools: AnswerTools): HTMLElement {
  const { trans, decimals } = tools;
  const attempts = provenance.attempts.map(attempt => describe(attempt, trans));
  return element(
    'div',
    { class: 'jp-LlmMagic-details' },
    part(trans.__('price'), list('ul', arithmetic(provenance, trans, decimals))),
    attempts.length > 0 && part(trans.__('attempts'), list('ol', attempts)),
    provenance.key !== '' && part(trans.__('key'), keyLine(provenance, tools)),
    provenance.key !== '' && recording(provenance, tools)
  );
}

function part(title: string, content: HTMLElement): HTMLElement {
  return element('section', {}, element('b', {}, title), content);
}

function list(kind: 'ol' | 'ul', lines: readonly string[]): HTMLElement {
  return element(kind, {}, ...lines.map(line => element('li', {}, line)));
}

function keyLine(provenance: Provenance, tools: AnswerTools): HTMLElement {
  const { key, ordinal } = provenance;
  return element(
    'div',
    { class: 'jp-LlmMagic-line' },
    element('code', {}, ordinal ? `${plainly(key)} #${ordinal}` : plainly(key)),
    labelledCopy(tools.trans.__('Copy key'), () => key, tools)
  );
}

/** One request that was sent: whom it asked, how long that took, and what came of it. */
function describe(attempt: Record<string, unknown>, trans: TranslationBundle): string {
  const latency = number(attempt.latency_ms);
  const error = text(attempt.error);
  return [
    text(attempt.model) ?? modelOf(attempt),
    latency === null ? null : duration(latency),
    error ?? trans.__('answered')
  ]
    .filter(found => found !== null)
    .map(plainly)
    .join(' · ');
}

function modelOf(attempt: Record<string, unknown>): string {
  return modelName(readProvenance(attempt)) || '?';
}

/** Request and response, which the kernel tells when somebody unfolds them. */
function recording(provenance: Provenance, tools: AnswerTools): HTMLElement {
  const { trans } = tools;
  const place = element('div', { 'aria-live': 'polite' });
  const unfolded = element(
    'details',
    { class: 'jp-LlmMagic-recording' },
    element('summary', {}, trans.__('request and response')),
    place
  );
  let found = false;
  const fill = async (): Promise<void> => {
    place.textContent = trans.__('asking the kernel…');
    try {
      const { request, response } = await tools.detail(provenance.key, provenance.ordinal);
      place.replaceChildren(
        json(trans.__('request'), trans.__('Copy request'), request, tools),
        json(trans.__('response'), trans.__('Copy response'), response, tools)
      );
      found = true;
    } catch (error) {
      place.textContent = errorText(error, trans);
    }
  };
  unfolded.addEventListener('toggle', () => {
    if (unfolded.open && !found) {
      void fill();
    }
  });
  return unfolded;
}

function json(title: string, copyTitle: string, value: unknown, tools: AnswerTools): HTMLElement {
  const written = JSON.stringify(value ?? null, null, 2);
  const head = element(
    'div',
    { class: 'jp-LlmMagic-line' },
    element('b', {}, title),
    labelledCopy(copyTitle, () => written, tools)
  );
  return element(
    'section',
    {},
    head,
    element('pre', { tabindex: '0', role: 'group', 'aria-label': title }, shown(written))
  );
}

/** A button that copies; its title says what. */
function labelledCopy(title: string, content: () => string, tools: AnswerTools): HTMLElement {
  return copyButton(content, tools, { class: 'jp-LlmMagic-copy', title, 'aria-label': title });
}

/** Text of an output, which a file may hold as a list of lines. */
function joined(value: unknown): string {
  if (Array.isArray(value)) {
    return value.filter(line => typeof line === 'string').join('');
  }
  return typeof value === 'string' ? value : '';
}
