import { copyButton } from '../copybutton';
import type { CopyTools } from '../copybutton';
import { element } from '../dom';
import type { Content } from '../dom';
import { shown } from '../format';

/** A part of the side panel: an element, and a way to have it show what is known now. */
export interface View {
  readonly node: HTMLElement;
  update(): void;
}

/** A part with a heading that people can fold away. */
export function section(title: Content, ...content: Content[]): HTMLDetailsElement {
  return element(
    'details',
    { class: 'jp-LlmMagic-section', open: true },
    element('summary', {}, element('h3', {}, title)),
    element('div', { class: 'jp-LlmMagic-sectionBody' }, ...content)
  );
}

/** A text as it stands, such as a prompt or a difference; long ones scroll. */
export function verbatim(label: string, text: string): HTMLElement {
  return element(
    'pre',
    { class: 'jp-LlmMagic-verbatim', tabindex: '0', role: 'group', 'aria-label': label },
    shown(text)
  );
}

/** A command to be run elsewhere, with a button that copies it. */
export function command(text: string, tools: CopyTools): HTMLElement {
  return element(
    'div',
    { class: 'jp-LlmMagic-command' },
    element('code', {}, text),
    copyButton(() => text, tools)
  );
}

/** Names and values beside each other. */
export function facts(...rows: (readonly [string, Content] | null)[]): HTMLDListElement {
  return element(
    'dl',
    { class: 'jp-LlmMagic-facts' },
    ...rows
      .filter(row => row !== null)
      .flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])
  );
}
