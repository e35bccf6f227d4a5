// Mirrors llm_magic/notebook/lab.py, which says what these are.
// tests/notebook/test_lab_types.py writes this file and compares it.

export const VERSION = 1;
export const STATE = 'llm_magic';
export const CONTROL = 'llm_magic.control';

export type Mode = 'REPLAY' | 'FALLBACK' | 'CAPTURE' | 'DISABLED';

export type Outcome =
  | 'live'
  | 'replay'
  | 'miss'
  | 'refused'
  | 'error'
  | 'incomplete'
  | 'interrupted'
  | 'pending'
  | 'closed'
  | 'unknown';

export type Ask = Hello | ModeAsked | BudgetAsked | NotebookAsked | CallAsked | StopAsked;

/** A cap that counts now: USD, and where it was set; a ceiling can be lowered only. */
export interface Budget {
  per: string;
  limit: string;
  settled: string;
  reserved: string;
  left: string;
  origin: string;
  ceiling: boolean;
}

/** Set a cap in USD; null takes it away. */
export interface BudgetAsked {
  type: 'budget';
  id: string;
  per: string;
  usd: string | null;
}

/** One row of the ledger. A miss has what the doctor says in its explanation. */
export interface Call {
  id: string;
  started: string;
  outcome: Outcome;
  model: string;
  cost: string | null;
  saved: string | null;
  latency_ms: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cell_id: string | null;
  cell_line: string | null;
  prompt: string | null;
  error: string | null;
  explanation: string | null;
  key: string | null;
  ordinal: number;
}

/** Tell all of one recording. */
export interface CallAsked {
  type: 'call';
  id: string;
  key: string;
  ordinal: number;
}

/** A recording in full: what was asked, and the answer as it is stored. */
export interface CallDetail {
  request: Record<string, unknown>;
  response: Record<string, unknown>;
  recorded: string;
  latency_ms: number | null;
  cell_line: string | null;
}

/** Calls that are new or have changed, oldest first; all that are shown when it is a reset. */
export interface Calls {
  type: 'calls';
  reset: boolean;
  calls: Call[];
}

/** Recordings: in the notebook's cassette, not saved yet, made without a notebook's name. */
export interface Cassette {
  name: string | null;
  recordings: number;
  unsaved: number;
  unnamed: number;
}

/** One thing that verifying found; without a cell it is about the notebook. */
export interface Finding {
  kind: string;
  message: string;
  cell: number | null;
  detail: string;
}

/** Sums of one model, or of one cell, by its id where it has one, named by its first line. */
export interface Group {
  name: string;
  cell_id: string | null;
  sums: Sums;
}

/** A page has come: send it everything. It says which notebook it shows, and the mode in it.

The result is what went wrong all the same, in words, or null. */
export interface Hello {
  type: 'hello';
  id: string;
  version: number;
  notebook: string | null;
  mode: Mode | null;
}

/** Set the mode; null leaves it to the settings again.

The result is the mode that was set before, null where that was up to the settings. */
export interface ModeAsked {
  type: 'mode';
  id: string;
  mode: Mode | null;
}

/** Do something with the saved notebook of this name, without ``.ipynb``.

The result of ``pack`` is in words, that of ``renamed`` too, or null. */
export interface NotebookAsked {
  type: 'save' | 'verify' | 'pack' | 'plan' | 'renamed';
  id: string;
  notebook: string;
}

/** The result of ``plan``: calls in the order of their cells, their sum, and what to know. */
export interface NotebookPlan {
  notebook: string;
  calls: PlannedCall[];
  total: string;
  remarks: string[];
}

/** A mode that nothing in the notebook loosens, and why. */
export interface Pinned {
  mode: Mode;
  reason: string;
}

/** What a run of the notebook would ask; what it would cost, or why it fails, is in words. */
export interface PlannedCall {
  cell: number;
  line: string;
  model: string | null;
  status: string;
  told: string;
}

/** Where an answer came from: ``application/vnd.llm-magic+json`` in an output.

``prices`` has USD per token, as text, by the names in ``tokens``: the sum of tokens times price
is ``cost``, of a replay ``saved``. A name without a price adds nothing; what reasoning and
audio cost is on top of ``output_tokens``, which they are part of. Null where tokens alone do
not give the amount. ``attempts`` has ``model``, ``error`` and ``latency_ms`` of every request,
and none where the first one was answered. ``prompt_crc32`` is that of the cell's source. */
export interface Provenance {
  version: number;
  model: string | null;
  provider: string | null;
  key: string;
  ordinal: number;
  source: string;
  recorded: string | null;
  cost: string | null;
  saved: string | null;
  cost_source: string | null;
  tokens: Record<string, number> | null;
  prices: Record<string, unknown> | null;
  latency_ms: number | null;
  finish_reason: string | null;
  notes: string[];
  attempts: Record<string, unknown>[];
  prompt_crc32: number | null;
}

/** The answer to what Lab asked under this id: a result, or an error in one line. */
export interface Reply {
  type: 'reply';
  id: string;
  result: unknown;
  error: string | null;
}

/** What a save did. */
export interface SavedCassette {
  name: string;
  total: number;
  added: number;
  replaced: number;
  removed: number;
  advice: string;
}

/** All that a kernel knows; every message of it stands for itself. */
export interface State {
  type: 'state';
  version: number;
  kernel: string;
  mode: Mode;
  origin: string;
  pinned: Pinned | null;
  notebook: string | null;
  session: Sums;
  total: Sums;
  models: Group[];
  cells: Group[];
  budgets: Budget[];
  cassette: Cassette;
  problem: string | null;
}

/** Stop what was asked under the id ``asked``. */
export interface StopAsked {
  type: 'stop';
  id: string;
  asked: string;
}

/** What calls came to: USD spent, USD saved by replay, calls of unknown cost, calls. */
export interface Sums {
  spent: string;
  saved: string;
  unknown: number;
  live: number;
  replayed: number;
}

/** What became of a code cell: same, drifted, miss, failed or not run. Numbers count from 1. */
export interface VerifiedCell {
  number: number;
  id: string;
  line: string;
  status: string;
}

/** The result of ``verify``: ``llm_magic.verify.Report.to_dict()``. */
export interface VerifyReport {
  notebook: string;
  cells: VerifiedCell[];
  findings: Finding[];
  calls: number;
  recordings: number | null;
}
