import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { Scope, type Upload } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { daemon } from '../connection/daemon.js';
import { explain } from '../connection/errors.js';
import { whyNot } from '../connection/status.js';
import { reconcileUploads, removeUpload, uploads } from '../connection/uploads.js';
import { Badge } from '../parts/badge.js';
import { Button } from '../parts/button.js';
import { nowMs } from '../parts/clock.js';
import { confirm } from '../parts/dialog.js';
import { formatCount, formatCounted, formatDuration, formatExact, msOf } from '../parts/format.js';
import { Rate } from '../parts/rate.js';
import { Sparkline } from '../parts/sparkline.js';
import { toast } from '../parts/toast.js';
import { liveHref } from '../route.js';
import { UploadRates } from './upload-rates.js';

const SHOWN_MAX = 6;
/** An upload that expired or was aborted elsewhere is told of by nobody. */
const RECONCILE_EACH_TICKS = 5;

/** Saves in progress, as their rows come. */
export function UploadsPanel({ prefix }: { readonly prefix: string }) {
  const rates = useMemo(() => new UploadRates(), []);
  useSignalEffect(() => rates.sample(uploads.peek(), nowMs.value));
  useReconciling();
  const isLong = useSignal(false);
  const open = [...uploads.value.values()]
    .filter(({ key }) => key.startsWith(prefix))
    .sort((a, b) => Number(b.hasStream) - Number(a.hasStream) || (msOf(b.createTime) ?? 0) - (msOf(a.createTime) ?? 0));
  if (open.length === 0) return null;
  const shown = isLong.value ? open : open.slice(0, SHOWN_MAX);
  return (
    <section class="uploads card" aria-labelledby="uploads-title">
      <h2 id="uploads-title">{formatCounted(open.length, 'save')} in progress</h2>
      <ul>
        {shown.map((upload) => (
          <UploadRow key={upload.uploadId} upload={upload} rates={rates} />
        ))}
      </ul>
      {open.length > SHOWN_MAX && (
        <Button kind="quiet" onClick={() => (isLong.value = !isLong.value)}>
          {isLong.value ? 'Show fewer' : `Show all ${formatCount(open.length)}`}
        </Button>
      )}
    </section>
  );
}

function useReconciling(): void {
  const isWanted = useComputed(() => uploads.value.size > 0);
  useSignalEffect(() => {
    if (!isWanted.value) return;
    const stopping = new AbortController();
    let ticks = 0;
    const stop = nowMs.subscribe(() => {
      // What fails here is tried again, and a lost connection is told elsewhere.
      if (++ticks % RECONCILE_EACH_TICKS === 0) reconcileUploads(stopping.signal).catch(() => undefined);
    });
    return () => {
      stop();
      stopping.abort();
    };
  });
}

function UploadRow({ upload, rates }: { readonly upload: Upload; readonly rates: UploadRates }) {
  const { key, uploadId, durableRowCount, createdBy, createTime } = upload;
  const now = nowMs.value;
  const rate = rates.rateOf(uploadId);
  const openedMs = msOf(createTime) ?? now;
  return (
    <li>
      <div class="what">
        <a class="mono" href={liveHref(key)}>
          {key}
        </a>
        <span class="muted">
          <span title={formatExact(openedMs)}>{formatDuration(now - openedMs)} old</span>
          {createdBy !== '' && <> · {createdBy}</>}
          {uploadId !== key && (
            <>
              {' '}
              · <span title="The upload's id">{uploadId}</span>
            </>
          )}
        </span>
      </div>
      <StreamState upload={upload} now={now} />
      <span class="rows number">{formatCounted(durableRowCount, 'row')}</span>
      <Rate rate={rate} />
      <Sparkline values={rates.lineOf(uploadId)} label={`Rows per second of ${key} over the last minute`} />
      <Button
        kind="quiet"
        icon="close"
        label={`Abort the save of ${key}`}
        whyNot={whyNot(Scope.WRITE, key)}
        onClick={() => void abort(upload)}
      />
    </li>
  );
}

function StreamState({ upload: { hasStream, expireTime }, now }: { readonly upload: Upload; readonly now: number }) {
  if (hasStream)
    return (
      <Badge tone="ok" title="A solver is connected to it.">
        connected
      </Badge>
    );
  const expiresMs = msOf(expireTime);
  const expires = expiresMs === undefined ? '' : `, expires in ${formatDuration(expiresMs - now)}`;
  return (
    <Badge
      tone="warn"
      title={`No solver is connected. It goes on where it stopped when one comes with its upload id${expiresMs === undefined ? '' : `, until ${formatExact(expiresMs)}`}.`}
    >
      waits{expires}
    </Badge>
  );
}

async function abort({ key, uploadId, durableRowCount, hasStream }: Upload): Promise<void> {
  const isSure = await confirm({
    title: `Abort the save of "${key}"?`,
    body: (
      <p>
        Its {formatCounted(durableRowCount, 'row')} (upload <span class="mono">{uploadId}</span>) are removed for good
        {hasStream && ', and the solver that sends them is told so'}. Results that are committed stay.
      </p>
    ),
    action: 'Abort the save',
    isDanger: true,
  });
  if (!isSure) return;
  try {
    await daemon.abortUpload({ uploadId });
    removeUpload(uploadId);
    toast(`The save of ${key} is aborted.`);
  } catch (error) {
    toast(`Not aborted: ${explain(error).message}`, { isError: true });
  }
}
