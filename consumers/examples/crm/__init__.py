"""A CRM: contacts, and a timeline of what was found about the address of each."""
