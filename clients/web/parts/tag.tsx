/** A tag of a result; one that can be clicked says what that does. */
export function Tag({
  name,
  value,
  title,
  onClick,
}: {
  readonly name: string;
  readonly value: string;
  readonly title?: string;
  readonly onClick?: () => void;
}) {
  const text = (
    <>
      <span class="name">{name}</span>
      {value !== '' && <span class="value">{value}</span>}
    </>
  );
  if (onClick === undefined) return <span class="tag">{text}</span>;
  return (
    <button type="button" class="tag" title={title} onClick={onClick}>
      {text}
    </button>
  );
}
