"""Domains: plug-ins that come with lawful. Each is built like one from another package; nothing else imports them."""
