-- Add process_rank to training_metric
--
-- ripcord:revision    5f2c81d0a3be
-- ripcord:revises     1975ea83b712
-- ripcord:created     2026-11-23T18:15:00Z

-- ripcord:upgrade
ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;

-- ripcord:downgrade
ALTER TABLE training_metric DROP COLUMN process_rank;
