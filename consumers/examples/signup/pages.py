"""Two pages: one to sign up, one that shows an account as it is and as it changes."""

from typing import Final

from consumers.examples.look import page

SIGN_UP: Final = page(
    "Sign up",
    """
<h1>Sign up</h1>
<div class="card"><form id="sign-up" novalidate>
<input id="email" type="email" aria-label="Email address" placeholder="you@example.com" autocomplete="email" autofocus>
<button>Create account</button></form><p role="alert" id="wrong"></p></div>
<p class="quiet">The account is there at once. Its address is verified while you look around.</p>
<script>
const wrong = document.getElementById("wrong");
document.getElementById("sign-up").addEventListener("submit", async event => {
  event.preventDefault();
  wrong.textContent = "";
  const email = document.getElementById("email").value;
  const answer = await fetch("/signup", {
    method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify({email}) });
  const told = await answer.json();
  if (answer.ok) location.href = `/accounts/${told.id}/page`;
  else wrong.textContent = told.detail;
});
</script>""",
)

ACCOUNT: Final = page(
    "Your account",
    """
<h1>Your account</h1>
<div class="card"><table>
<tr><td>Address<td><span class="status" id="status" aria-live="polite">…</span> <span class="quiet" id="why"></span>
<tr><td>Confirmed<td id="confirmed">…
<tr><td>Invite others<td id="invite">…
</table></div>
<div class="card"><form id="change" novalidate>
<input id="email" type="email" aria-label="New email address" placeholder="another address" autocomplete="email">
<button>Change address</button></form><p role="alert" id="wrong"></p></div>
<p class="quiet" id="live">This page follows the account by itself.</p>
<script>
const account = location.pathname.replace("/page", "");
const show = (id, text) => document.getElementById(id).textContent = text;
const WHY = {
  pending: "is being verified", valid: "accepts mail", risky: "works, with doubts",
  unknown: "could not be verified yet", invalid: "does not seem to work. Please change it below." };
async function look() {
  try {
    const now = await (await fetch(account)).json();
    show("status", now.closed ? "closed" : now.status);
    document.getElementById("status").className = `status ${now.status}`;
    show("why", now.closed ? "stayed invalid for too long" : WHY[now.status] || "");
    show("confirmed", now.confirmed ? "yes" : "not yet: open the link in the mail");
    show("invite", now.may_invite ? "open" : "opens once the address is verified and confirmed");
    show("live", "This page follows the account by itself.");
  } catch { show("live", "The service does not answer. Trying again …"); }
}
document.getElementById("change").addEventListener("submit", async event => {
  event.preventDefault();
  const email = document.getElementById("email").value;
  const answer = await fetch(`${account}/email`, {
    method: "PUT", headers: {"content-type": "application/json"}, body: JSON.stringify({email}) });
  show("wrong", answer.ok ? "" : (await answer.json()).detail);
  look();
});
look(); setInterval(look, 1000);
</script>""",
)
