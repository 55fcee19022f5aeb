"""Two pages, as templates of Jinja: all contacts, and the timeline of one."""

from typing import Final

from consumers.examples.look import page

LIST: Final = page(
    "Contacts",
    """
<h1>Contacts</h1>
<div class="card"><form id="add" novalidate>
<input id="contact" aria-label="Contact" placeholder="id, like ann" pattern="[^/]+">
<input id="email" type="email" aria-label="Email address" placeholder="ann@example.com">
<button>Add or change</button></form><p role="alert" id="wrong"></p></div>
<div class="card"><table><tr><th>Contact<th>Address<th>Status
{% for contact in contacts %}<tr><td><a href="{{ url_for('show', contact_id=contact.id) }}">{{ contact.id }}</a>
<td>{{ contact.email }}<td><span class="status {{ contact.status }}">{{ contact.status }}</span>
{% else %}<tr><td colspan="3" class="quiet">Nobody yet.{% endfor %}</table></div>
<script>
document.getElementById("add").addEventListener("submit", async event => {
  event.preventDefault();
  const [contact, email] = ["contact", "email"].map(id => document.getElementById(id).value);
  const answer = await fetch(`/contacts/${encodeURIComponent(contact)}`, {
    method: "PUT", headers: {"content-type": "application/json"}, body: JSON.stringify({email}) });
  if (answer.ok) location.reload();
  else document.getElementById("wrong").textContent = contact ? (await answer.json()).detail : "A contact has an id.";
});
</script>""",
)

ONE: Final = page(
    "Contact",
    """
<p><a href="{{ url_for('index') }}">All contacts</a></p>
<h1>{{ contact.email }}</h1>
<p><span class="status {{ contact.status }}">{{ contact.status }}</span> <span class="quiet">{{ contact.id }}</span></p>
<div class="card"><ol class="steps">{% for entry in contact.timeline|reverse %}
<li><span class="status {{ entry.status }}">{{ entry.status }}</span> {{ entry.reason_code|replace("_", " ") }}
<br><time class="quiet">{{ entry.checked_at.strftime("%Y-%m-%d %H:%M") }} UTC</time>
{% else %}<li class="quiet">No verdict yet: it comes as an event.{% endfor %}</ol></div>""",
)
