import { render } from 'preact';

const page = document.getElementById('page');
if (page !== null) render(<main>optistore</main>, page);
