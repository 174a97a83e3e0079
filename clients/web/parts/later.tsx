import { useSignal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { ErrorState, Loading } from './states.js';

/** A view whose code is loaded when it is shown first. */
export function later<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | undefined;
  return function Later(props: Props) {
    const isLoaded = useSignal(loaded !== undefined);
    const failure = useSignal<string | undefined>(undefined);
    const begin = () => {
      failure.value = undefined;
      load().then(
        (view) => {
          loaded = view;
          isLoaded.value = true;
        },
        (error: unknown) => (failure.value = error instanceof Error ? error.message : String(error)),
      );
    };
    useEffect(() => {
      if (!isLoaded.peek()) begin();
    }, []);
    if (failure.value !== undefined)
      return <ErrorState title="This view could not be loaded" message={failure.value} onRetry={begin} />;
    if (!isLoaded.value || loaded === undefined) return <Loading />;
    const View = loaded;
    return <View {...props} />;
  };
}
