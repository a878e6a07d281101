"""Run the migrations on the connection that `runner.store.opening` hands over, in its transaction."""

from alembic import context

from runner.store.schema import TABLES

if hasattr(context, "config"):  # alembic runs this file; importing it does nothing
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=TABLES,
        transactional_ddl=True,
        render_as_batch=True,
    )
    context.run_migrations()
